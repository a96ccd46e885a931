"""Memory between the steps of the NumPy kernel, and mirroring by means of it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt


class Scratch(threading.local):
    """Each thread's own memory between the steps, reused from batch to batch."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, tuple[int, ...], np.dtype[Any]], npt.NDArray[Any]] = {}

    def zeros(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Zero when it is first asked for; afterwards as it was left."""
        key = (name, shape, np.dtype(dtype))
        found = self._arrays.get(key)
        if found is None:
            found = self._arrays[key] = np.zeros(shape, dtype)
        return found


def mirror(planes: npt.NDArray[Any], scratch: Scratch) -> npt.NDArray[Any]:
    """Planes (n, C, H, W) from right to left, until ``scratch`` is used again.

    NumPy reverses byte after byte, six times as slowly as eight at a time. Planes and lines are
    read backwards, then all of it is turned round as one: so each stands where it was.
    """
    if planes.itemsize > 1 or planes.size % 8:
        return planes[..., ::-1]
    backwards = scratch.zeros("backwards", planes.shape, planes.dtype)
    mirrored = scratch.zeros("mirrored", planes.shape, planes.dtype)
    backwards[...] = planes[::-1, ::-1, ::-1]
    mirrored.reshape(-1).view(">u8")[...] = backwards.reshape(-1).view("<u8")[::-1]
    return mirrored
