"""Single points float32 (n, 2): x and y, NaN where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[Any]


def resized(points: Points, old: tuple[Any, Any], new: tuple[int, int]) -> Points:
    """Of an image that was resized from (height, width) ``old``, perhaps (n,) each, to ``new``."""
    found: Points = (points * np.stack([new[1] / old[1], new[0] / old[0]], -1)).astype(points.dtype)
    return found


def cropped(points: Points, window: tuple[Any, Any, Any, Any]) -> Points:
    """As seen in a window (top, left, height, width), perhaps (n,) each; others become NaN."""
    top, left, height, width = window
    found: Points = points - np.stack([left, top], -1).astype(points.dtype)
    outside = (found < 0) | (found > np.stack([width, height], -1))
    found[outside.any(-1)] = np.nan
    return found


def mirrored(points: Points, width: int) -> Points:
    """Of the image shown right to left."""
    found = points.copy()
    found[..., 0] = width - points[..., 0]
    return found
