"""What of an Open Images split a subset takes: chosen by the boxes' file, a piece at a time.

That takes 8 bytes of memory a picture. Of the annotation files the rows of these pictures stay.
Where masks are the objects, their names choose; the zips of masks are what decides then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np

from dsets.archive import zipindex
from dsets.archive.blobs import Blobs
from dsets.archive.zipindex import Member
from dsets.errors import DataError, UsageError
from dsets.manifest.schema import Source
from dsets.readers import (
    Choice,
    Cutting,
    Picture,
    _openimages_columns,
    _openimages_csv,
    _openimages_lines,
    _openimages_masks,
    _openimages_options,
    _rows,
)
from dsets.readers._openimages_lines import Counted
from dsets.readers._openimages_options import Options
from dsets.readers._openimages_table import Table

_CUT = ("boxes", "human_labels", "machine_labels", "points", "relationships")


def choice(source: Source) -> Choice:
    """Where a split's pictures and objects lie, and what they can be chosen by.

    Raises:
        UsageError: the split has neither boxes nor masks.
    """
    options = _openimages_options.read(source)
    if "boxes" not in options.csvs and not options.masks:
        raise UsageError(
            "no subset can be made of a split without boxes or masks",
            where=f"{source.manifest.name}/{source.split.name}",
        )
    images = f"{source.split.name}-images.tar"
    kinds = {kind: _here(source, options, kind) for kind in _CUT}
    given: dict[str, Any] = {"images": (images,)}
    given |= {
        kind: tuple(_own(source, name) for name in names) for kind, names in kinds.items() if names
    }
    given |= {"masks": (_masks(source),)} if options.masks else {}
    given |= {"without_objects": "drop"} if options.drop else {}
    training = source.manifest.training or source.split
    given["mids"] = source.split.options.get("mids", training.options.get("mids", ()))
    below = source.split.options.get("subclasses", training.options.get("subclasses"))
    given |= {"subclasses": below} if below else {}
    classes = {one.name: one.classes for one in source.manifest.fields}.get("labels", ())
    annotations = (*options.masks, *(name for names in kinds.values() for name in names))
    subclasses = _openimages_options.subclasses(source, tuple(classes))
    return Choice(images, options.images, annotations, tuple(classes), given, subclasses)


def pictures(source: Source, labels: Collection[int] | None) -> Iterator[Picture]:
    """The pictures with a box or a mask of one of the labels, or with any, by their ids.

    Raises:
        DataError: the boxes, or the zips of masks, are not what the format says.
    """
    options = _openimages_options.read(source)
    found = np.empty(0, np.uint64)
    for name in options.masks:
        masked = [
            image
            for _, image, mid, _ in _openimages_masks.named(source, name)
            if labels is None or options.mids.get(mid, -1) in labels
        ]
        found = np.union1d(found, np.array(masked, np.uint64))
    for name in options.csvs.get("boxes", ()):
        table = Table(source.path(name), source.split.name)
        with closing(_openimages_csv.pieces(table, "boxes")) as pieces:
            for piece in pieces:
                ids = piece.image
                if labels is not None:
                    texts, codes = piece.texts("label")
                    good = [options.mids.get(text, -1) in labels for text in texts] + [False]
                    ids = ids[np.array(good)[codes]]
                found = np.union1d(found, ids)
    for number in found.tolist():
        yield Picture(f"{number:016x}", f"{source.split.name}/{number:016x}.jpg")


def cut(source: Source, keys: Collection[str], labels: Collection[int] | None) -> Iterator[Cutting]:
    """The annotation files with the rows of these pictures alone, as far as they are here, and one
    zip of their masks; with ``labels`` also without the boxes and masks of other classes."""
    options = _openimages_options.read(source)
    mids = {mid for mid, label in options.mids.items() if label in (labels or ())}
    for name in options.masks:
        for text, image, mid, member in _openimages_masks.named(source, name):
            if f"{image:016x}" in keys and (labels is None or mid in mids):
                yield Cutting(_masks(source), text, partial(_mask, source, name, text, member))
    for kind in _CUT:
        for name in _here(source, options, kind):
            only = mids if kind == "boxes" and labels is not None else None
            table = Table(source.path(name), source.split.name)
            kept = "".join(_lines(table, kind, keys, only)).encode("latin-1")
            yield Cutting(_own(source, name), "", kept)


def _lines(
    table: Table, kind: str, keys: Collection[str], mids: Collection[str] | None
) -> Iterator[str]:
    """The header and the rows of these pictures, and of these classes alone, as they are written.

    Raises:
        DataError: it is no table of this kind, or a quoted cell is larger than any may be.
    """
    with table.opened() as file:
        head = file.read(_openimages_columns.HEAD_BYTES)
        layout = _openimages_columns.layout(head, kind, table.where)
        if layout.first == 2:
            yield head[: layout.start].decode("latin-1")
        image = layout.columns.index("image")
        label = layout.columns.index("label") if mids is not None else image
        rest = Counted(file, head[layout.start :]).buffered()
        for _, cells, text in _openimages_lines.parsed(rest, table, layout.first):
            if (
                len(cells) > max(image, label)
                and cells[image].strip().lower() in keys
                and (mids is None or cells[label].strip() in mids)
            ):
                yield text if text.endswith(("\n", "\r")) else text + "\n"


def _mask(source: Source, archive: str, name: str, member: Member) -> bytes:
    """A mask as it was published; nothing where it is damaged in its zip, so that its picture has
    the same problem in the subset. Raises DataError where the zip ends before it."""
    with Blobs(source.path(archive), _rows.remedy(source)) as blobs:
        data = zipindex.alone(blobs, name, member, _openimages_masks.PNG_BYTES)
    return b"" if isinstance(data, DataError) else data


def _masks(source: Source) -> str:
    """What a subset calls the zip of its masks."""
    return f"{source.split.name}-masks.zip"


def _own(source: Source, name: str) -> str:
    """What a subset calls a table: as it is called, but for one out of an archive of all splits."""
    if name.endswith(".csv"):
        return name
    return f"{source.split.name}-{name.partition('.')[0]}.csv"


def _here(source: Source, options: Options, kind: str) -> tuple[str, ...]:
    """The files of a kind: the boxes', which decide, and others that are in the store."""
    names = options.csvs.get(kind, ())
    return tuple(n for n in names if kind == "boxes" or source.path(n).is_file())
