"""Masks and maps of indices (height, width): no value is ever mixed with its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[Any]


def resized(mask: Mask, new: tuple[int, int]) -> Mask:
    """Each pixel takes the value of the one under its centre: floor((i + 1/2) * old / new)."""
    rows, columns = (
        (2 * np.arange(after) + 1) * before // (2 * after)
        for before, after in zip(mask.shape, new, strict=True)
    )
    return np.ascontiguousarray(mask[rows[:, None], columns])


def painted(masks: Sequence[Mask], values: Mask, size: tuple[int, int]) -> Mask:
    """(height, width) of the values' dtype: each mask's value where it is, 0 elsewhere.

    Larger masks are painted first, so a pixel has the value of the smallest object.
    """
    found = np.zeros(size, values.dtype)
    for i in np.argsort([-int((mask > 0).sum()) for mask in masks], kind="stable").tolist():
        found[masks[i] > 0] = values[i]
    return found


def cropped(mask: Mask, window: tuple[int, int, int, int], outside: int = 0) -> Mask:
    """As seen in a window (top, left, height, width); beyond the image it has ``outside``."""
    top, left, height, width = window
    found = np.full((height, width), outside, mask.dtype)
    first, last = max(top, 0), max(0, min(top + height, mask.shape[0]))
    begin, end = max(left, 0), max(0, min(left + width, mask.shape[1]))
    if first < last and begin < end:
        found[first - top : last - top, begin - left : end - left] = mask[first:last, begin:end]
    return found


def mirrored(mask: Mask) -> Mask:
    """Shown right to left."""
    return np.ascontiguousarray(mask[:, ::-1])
