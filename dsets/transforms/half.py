"""Bytes to scaled float16 by table.

NumPy converts to float16 in software; a table of all pairs of bytes is six times as fast, one of
single bytes twice.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsets.transforms.scratch import Scratch
from dsets.transforms.subtract_mean import Normal

#: Of one channel: two bytes, as uint16, to two float16, as uint32 (65536,); one to one (256,).
Table = tuple[npt.NDArray[np.uint32], npt.NDArray[np.float16]]


def tables(normal: Normal) -> tuple[Table, ...]:
    """One for each channel."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.arange(256, dtype=np.float32)[:, None] * normal.scale + normal.bias
        singles = np.ascontiguousarray(values.T).astype(np.float16)
    two = np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    return tuple((single[two].view(np.uint32).ravel(), single) for single in singles)


def look_up(
    shown: npt.NDArray[np.uint8],
    table: Table,
    out: npt.NDArray[np.float16],
    step: int,
    scratch: Scratch,
) -> None:
    """One channel (n, H, W) of up to ``step`` images to ``out``, of the same shape."""
    pairs, singles = table
    pixels = scratch.zeros("bytes", (step, *shown.shape[1:]), np.uint8)[: len(shown)]
    pixels[...] = shown
    if pixels[0].size % 2:
        out[...] = singles[pixels]
        return
    two = pixels.reshape(len(shown), -1).view(np.uint16)
    places = scratch.zeros("places", (step, two.shape[1]), np.intp)[: len(shown)]
    places[...] = two
    halves = out.reshape(two.shape[0], -1).view(np.uint32)
    np.take(pairs, places, out=halves, mode="wrap")  # no place is out of range
