"""Boxes, polygons, masks and keypoints under resize, crop and mirror image; pure NumPy.

Coordinates are edges in pixels, x to the right and y down from 0 at the image's corner: a box is
xmin, ymin, xmax, ymax, the centre of the first pixel (0.5, 0.5). A size is (height, width), a
window (top, left, height, width).
"""

from dsets.geometry import boxes, keypoints, masks, points, polygons

Size = tuple[int, int]
Window = tuple[int, int, int, int]

__all__ = ["Size", "Window", "boxes", "keypoints", "masks", "points", "polygons"]
