"""Keypoints float32 (n, k, 3): x, y and visibility, 0 absent, 1 hidden, 2 visible (COCO).

Absent points stay what they are, (0, 0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[Any]

#: For each of COCO's 17 keypoints of a person the one that it becomes in a mirror: left and right
#: eye, ear, shoulder, elbow, wrist, hip, knee and ankle change places.
COCO_PAIRS = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)


def resized(points: Points, old: tuple[Any, Any], new: tuple[int, int]) -> Points:
    """Of an image that was resized from (height, width) ``old``, perhaps (n, 1), to ``new``."""
    found: Points = (
        points * np.stack([new[1] / old[1], new[0] / old[0], np.ones_like(old[0])], -1)
    ).astype(points.dtype)
    return found


def cropped(points: Points, window: tuple[Any, Any, Any, Any]) -> Points:
    """As seen in a window (top, left, height, width), perhaps (n, 1) each; others become absent."""
    top, left, height, width = window
    found: Points = points - np.stack([left, top, np.zeros_like(top)], -1).astype(points.dtype)
    inside = (found[..., 0] >= 0) & (found[..., 0] <= width)
    inside &= (found[..., 1] >= 0) & (found[..., 1] <= height)
    found[~inside | (points[..., 2] == 0)] = 0
    return found


def mirrored(points: Points, width: int, pairs: Sequence[int] = COCO_PAIRS) -> Points:
    """Of the image shown right to left, where point i takes the place of point ``pairs[i]``."""
    found: Points = points[..., list(pairs), :].copy()
    there = found[..., 2] > 0
    found[..., 0] = np.where(there, width - found[..., 0], 0)
    return found
