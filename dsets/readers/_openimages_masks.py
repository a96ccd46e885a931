"""Masks of objects: a PNG each, in zips by the first digit of the picture's id, read by offset.

What a mask is of shows in its name, ``<picture>_<mid without slashes>_<box>.png``. Masks may be of
another size than their picture; they are stretched to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets import codecs, geometry
from dsets.archive import zipindex
from dsets.archive.blobs import Blobs
from dsets.archive.zipindex import Member
from dsets.errors import AbsentError, DataError
from dsets.manifest.schema import Source
from dsets.readers import _rows
from dsets.readers._grouped import Grouped
from dsets.readers._openimages_annotations import Columns, Lookup
from dsets.readers._openimages_options import Options

PNG_BYTES = 64 << 20
COLUMNS = {"member": "<i8", "label": "<i2", "archive": "<i2"}
_RECORD = np.dtype([("row", "<i4"), ("member", "<i8", (6,)), ("label", "<i2"), ("archive", "<i2")])
_NAME = re.compile(r"(?:.*/)?([0-9a-fA-F]{16})_([a-z])([0-9a-z_]{1,24})_([0-9a-f]{1,16})\.png")


def scan(
    source: Source, options: Options, ids: npt.NDArray[np.uint64], folder: Path | None
) -> tuple[Columns, tuple[int, int, str]]:
    """The columns of the masks of the pictures ``ids``, and which are of pictures not here.

    Raises:
        DataError: a zip is damaged or hostile, or a mask of a class that is none.
    """
    lookup = Lookup(ids)
    remedy = _rows.remedy(source)
    size = sum(
        path.stat().st_size for name in options.masks if (path := source.path(name)).is_file()
    )
    grouped = Grouped(_RECORD, len(ids), size // 64, folder)
    try:
        for number, name in enumerate(options.masks):
            path = source.path(name)
            found = zipindex.members(path, remedy=remedy)
            named = [
                (one, member) for text, member in found.items() if (one := _NAME.fullmatch(text))
            ]
            if found and not named:
                raise DataError(
                    "no masks",
                    where=path,
                    expected="names like <picture>_<mid>_<box>.png",
                    got=ascii(next(iter(found)))[:120],
                    remedy=remedy,
                )
            named.sort(key=lambda pair: pair[0][0])  # the table's order, not the zip's
            records = np.empty(len(named), _RECORD)
            for i, (one, member) in enumerate(named):
                label = options.mids.get(f"/{one[2]}/{one[3]}")
                if label is None:
                    raise DataError(
                        "a mask of a class that is none", where=path, got=ascii(one[0])[:120]
                    )
                records[i] = (0, tuple(member), label, number)
            if named:
                given = np.array([int(one[1], 16) for one, _ in named], np.uint64)
                records["row"] = lookup.rows(given)
                grouped.add(records[records["row"] >= 0])
        ends, columns = grouped.finish()
    finally:
        grouped.close()
    if not ends[-1]:
        raise AbsentError("no mask of any picture that is here", where=source.root)
    return {f"mask.{name}": column for name, column in columns.items()} | {
        "mask.end": ends
    }, lookup.absent()


def named(source: Source, archive: str) -> Iterator[tuple[str, int, str, Member]]:
    """Each mask of a zip: its name, the picture's id, the class's identifier, and where it lies.

    Raises:
        DataError: the zip is damaged or hostile.
    """
    found = zipindex.members(source.path(archive), remedy=_rows.remedy(source))
    for text, member in found.items():
        if one := _NAME.fullmatch(text):
            yield text, int(one[1], 16), f"/{one[2]}/{one[3]}", member


def decoded(
    blobs: Blobs, member: Member, size: tuple[int, int], name: str
) -> npt.NDArray[Any] | DataError:
    """uint8 (height, width) of 0 and 1: a mask as large as its picture, ``size``; or what is wrong
    with this mask alone, ``what`` in fixed words.

    Raises:
        DataError: the zip cannot be read up to its end.
    """
    data = zipindex.alone(blobs, name, member, PNG_BYTES)
    try:
        if isinstance(data, DataError):
            raise data
        pixels = codecs.decode(data)
    except DataError as error:
        where = f"{blobs.path}: {name}"
        return DataError(f"mask: {error.what}", where=where, expected=error.expected, got=error.got)
    mask = (pixels.reshape(*pixels.shape[:2], -1)[..., 0] > 0).astype(np.uint8)
    return mask if mask.shape == size else geometry.masks.resized(mask, size)


def box(mask: npt.NDArray[Any]) -> tuple[float, float, float, float]:
    """xmin, ymin, xmax, ymax around what a mask covers; zeros for nothing."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
