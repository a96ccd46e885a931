"""Masks of objects as COCO's compressed run lengths, several in one field.

A field pair holds them: ``mask`` uint8 (bytes,), the codes one after the other, and ``mask_ends``
int64 (n,), where each one ends. Runs go down the columns and begin with background.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsets.errors import DataError

Codes = tuple[NDArray[np.uint8], NDArray[np.int64]]


def masks(
    codes: NDArray[np.uint8], ends: NDArray[np.int64], size: tuple[int, int]
) -> list[NDArray[np.uint8]]:
    """The masks, uint8 (height, width) of 0 and 1, of an image of ``size`` (height, width).

    Raises:
        DataError: a code is not one of a mask of that size.
    """
    return [decode(code, size) for code in split(codes, ends)]


def decode(code: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask, uint8 (height, width) of 0 and 1, of an image of ``size`` (height, width).

    The runs are added up first: pycocotools' own decoder trusts them.

    Raises:
        DataError: they do not cover the image, or more than it.
    """
    runs = _runs(code)
    if runs is None or sum(runs) != size[0] * size[1] or any(run < 0 for run in runs):
        raise DataError(
            "bad run lengths of a mask", expected=f"runs over {size[0]} x {size[1]} pixels"
        )
    values = np.arange(len(runs), dtype=np.uint8) & 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(size[1], size[0]).T)


def split(codes: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[bytes]:
    """Each mask's code."""
    data = codes.tobytes()
    bounds = [0, *ends.tolist()]
    if bounds != sorted(bounds) or bounds[-1] != len(data):
        raise DataError("bad ends of masks", expected=f"rising to {len(data)}", got=ends)
    return [data[bounds[i] : bounds[i + 1]] for i in range(len(ends))]


def join(codes: Iterable[bytes]) -> Codes:
    """Codes one after the other, and where each one ends."""
    parts = list(codes)
    ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)[1:]
    return np.frombuffer(b"".join(parts), np.uint8), ends


def encode(found: Iterable[NDArray[Any]]) -> Codes:
    """The codes of masks (height, width), where what is not 0 belongs to the object."""
    from pycocotools import mask

    codes = (mask.encode(np.asfortranarray(one > 0, dtype=np.uint8))["counts"] for one in found)
    return join(code.encode() if isinstance(code, str) else code for code in codes)


def _runs(code: bytes) -> list[int] | None:
    """The lengths: 5 bits a character from 48 on, the sixth says that more follow; from the third
    on each is the difference to the last but one (pycocotools, rleToString)."""
    runs: list[int] = []
    value = shift = 0
    for character in code:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs
