"""A polygon: its corners float (n, 2), x and y, the last joined to the first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Polygon = npt.NDArray[Any]


def resized(polygon: Polygon, old: tuple[int, int], new: tuple[int, int]) -> Polygon:
    """Of an image that was resized from (height, width) ``old`` to ``new``."""
    found: Polygon = (polygon * np.array([new[1] / old[1], new[0] / old[0]])).astype(polygon.dtype)
    return found


def mirrored(polygon: Polygon, width: int) -> Polygon:
    """Of the image shown right to left, its corners in the reverse order: it turns as before."""
    found = polygon[::-1].copy()
    found[:, 0] = width - found[:, 0]
    return found


def cropped(polygon: Polygon, window: tuple[int, int, int, int]) -> Polygon:
    """What of it lies in a window (top, left, height, width), perhaps no corner at all.

    Sutherland and Hodgman 1974, Reentrant polygon clipping. Parts that the window cuts asunder stay
    joined by edges along its border.
    """
    top, left, height, width = window
    found: Polygon = polygon - np.array([left, top], polygon.dtype)
    for axis, sign, limit in ((0, 1, 0), (0, -1, -width), (1, 1, 0), (1, -1, -height)):
        found = _half(found, axis, sign, limit)
    return found


def _half(polygon: Polygon, axis: int, sign: int, limit: int) -> Polygon:
    """What of it lies where ``sign * coordinate >= limit``."""
    if not len(polygon):
        return polygon
    before: Polygon = np.roll(polygon, 1, axis=0)
    depth, depth_before = sign * polygon[:, axis] - limit, sign * before[:, axis] - limit
    inside, inside_before = depth >= 0, depth_before >= 0
    corners: list[Any] = []
    for i in range(len(polygon)):
        if inside[i] != inside_before[i]:
            share = depth_before[i] / (depth_before[i] - depth[i])
            cut = before[i] + share * (polygon[i] - before[i])
            cut[axis] = sign * limit
            corners.append(cut)
        if inside[i]:
            corners.append(polygon[i])
    found: Polygon = np.array(corners, polygon.dtype).reshape(-1, 2)
    return found


def area(polygon: Polygon) -> float:
    """What it encloses, by the shoelace formula."""
    x, y = polygon[:, 0].astype(np.float64), polygon[:, 1].astype(np.float64)
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
