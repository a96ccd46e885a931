"""Boxes float32 (n, 4): xmin, ymin, xmax, ymax, as edges in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[Any]


def resized(boxes: Boxes, old: tuple[Any, Any], new: tuple[int, int]) -> Boxes:
    """Of an image that was resized from (height, width) ``old``, perhaps (n,) each, to ``new``."""
    down, across = new[0] / old[0], new[1] / old[1]
    found: Boxes = (boxes * np.stack([across, down, across, down], -1)).astype(boxes.dtype)
    return found


def cropped(boxes: Boxes, window: tuple[Any, Any, Any, Any]) -> Boxes:
    """As seen in a window (top, left, height, width), perhaps (n,) each, cut off at its border.

    There are as many as before: what lies outside has become a box without area. ``areas`` tells.
    """
    top, left, height, width = window
    moved = boxes - np.stack([left, top, left, top], -1).astype(boxes.dtype)
    found: Boxes = moved.clip(0, np.stack([width, height, width, height], -1).astype(boxes.dtype))
    return found


def mirrored(boxes: Boxes, width: int) -> Boxes:
    """Of the image shown right to left."""
    found = boxes.copy()
    found[..., 0], found[..., 2] = width - boxes[..., 2], width - boxes[..., 0]
    return found


def areas(boxes: Boxes) -> npt.NDArray[Any]:
    """(n,): width times height, 0 where a corner lies before the other."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clip(0)
    found: npt.NDArray[Any] = sides[..., 0] * sides[..., 1]
    return found
