"""A segmentation as COCO writes it: polygons, run lengths, or compressed run lengths.

Which one it is shows in its type, not in ``iscrowd``. All come out as compressed run lengths, drawn
by pycocotools, whose rounding is what COCO's figures are defined by.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dsets.codecs import rle
from dsets.errors import DataError
from dsets.readers._coco_json import UNREADABLE, Whole, whole


class _Runs(msgspec.Struct):
    counts: list[Whole] | str
    size: tuple[Whole, Whole]


_DECODER = msgspec.json.Decoder(list[list[float]] | _Runs)


def code(text: bytes, size: tuple[int, int], where: str) -> bytes:
    """The compressed run lengths of a segmentation in an image of ``size`` (height, width).

    No polygon at all covers nothing.

    Raises:
        DataError: it is none, or not one of such an image; ``what`` of it is in fixed words.
    """
    from pycocotools import mask as drawing

    mask: Any = drawing
    try:
        found = _DECODER.decode(text)
    except UNREADABLE as error:
        raise DataError("bad segmentation", where=where, got=f"{error!s:.120}") from error
    height, width = size
    if isinstance(found, _Runs):
        if found.size != size:
            raise DataError(
                "a mask of another size than its picture",
                where=where,
                expected=f"size {list(size)}",
                got=f"{list(found.size)}",
            )
        if isinstance(found.counts, str):
            packed = found.counts.encode()
            try:
                rle.decode(packed, size)
            except DataError as error:
                raise DataError(error.what, where=where, expected=error.expected) from error
            return packed
        if sum(found.counts) != height * width or any(run < 0 for run in found.counts):
            raise DataError(
                "bad run lengths of a mask",
                where=where,
                expected=f"runs over {height} x {width} pixels",
            )
        try:
            runs = [whole(run) for run in found.counts]
        except ValueError as error:
            raise DataError("bad run lengths of a mask", where=where, got=f"{error}") from error
        drawn = mask.frPyObjects({"counts": runs, "size": list(size)}, height, width)
        return _counts(drawn)
    # pycocotools walks along every edge: one that leads far away would cost any memory.
    far = 2 * max(size)
    for polygon in found:
        if len(polygon) < 6 or len(polygon) % 2:
            raise DataError(
                "a polygon that is none",
                where=where,
                expected="x and y of three corners at least",
                got=f"{len(polygon)} numbers",
            )
        if not all(-far <= value <= 2 * far for value in polygon):
            raise DataError(
                "a polygon that leads far out of its picture",
                where=where,
                expected=f"corners from {-far} to {2 * far}",
                got=f"{min(polygon):g} to {max(polygon):g}",
            )
    if not found:
        return _counts(mask.frPyObjects({"counts": [height * width], "size": list(size)}, *size))
    return _counts(mask.merge(mask.frPyObjects(found, height, width)))


def _counts(drawn: Any) -> bytes:
    counts = drawn["counts"]
    return counts.encode() if isinstance(counts, str) else bytes(counts)
