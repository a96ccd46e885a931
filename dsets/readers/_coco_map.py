"""A panoptic map: a PNG whose colours are segment ids, R + 256 G + 65536 B; 0 is no segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dsets import codecs
from dsets.errors import DataError

Map = npt.NDArray[np.int32]


def decoded(data: bytes, size: tuple[int, int], where: str) -> Map:
    """The segment ids, int32 (height, width), of an image of ``size``.

    Raises:
        DataError: it cannot be decoded, or has another size.
    """
    try:
        own = codecs.size_of(data)  # before it is decoded
        if own != size:
            raise DataError(
                "of another size than its picture",
                expected=f"{size[1]} x {size[0]}",
                got=f"{own[1]} x {own[0]}",
            )
        colours = codecs.decode(data).astype(np.int32)
    except DataError as error:
        raise DataError(
            f"panoptic map {error.what}", where=where, expected=error.expected, got=error.got
        ) from error
    found: Map = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
    return found


def contradiction(painted: Map, ids: npt.NDArray[Any], areas: npt.NDArray[Any]) -> str:
    """The first thing that map and segments (``ids`` and ``areas`` (m,)) say differently, or ""."""
    flat = painted.ravel()
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)  # of runs, which are few
    lengths = np.diff(starts, append=len(flat))
    there, inverse = np.unique(flat[starts], return_inverse=True)
    pixels = dict(zip(there.tolist(), np.bincount(inverse, lengths).astype(int), strict=True))
    pixels.pop(0, None)
    said = dict(zip(ids.tolist(), areas.tolist(), strict=True))
    if strange := [one for one in pixels if one not in said]:
        return f"the panoptic map shows segment {strange[0]}, which the JSON does not have"
    for one, area in said.items():
        if one not in pixels:
            return f"the panoptic map does not show segment {one}"
        if area and area != pixels[one]:
            shows = f"the panoptic map shows {pixels[one]} pixels of segment {one}"
            return f"{shows}, the JSON says {area:g}"
    return ""
