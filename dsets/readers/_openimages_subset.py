"""What of an Open Images split a subset takes: chosen by the boxes' file, a piece at a time.

That takes 8 bytes of memory a picture. Of the annotation files the rows of these pictures stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from dsets.errors import UsageError
from dsets.manifest.schema import Source
from dsets.readers import (
    Choice,
    Cutting,
    Picture,
    _openimages_csv,
    _openimages_lines,
    _openimages_options,
)
from dsets.readers._openimages_options import Options

_CUT = ("boxes", "human_labels", "machine_labels", "points")


def choice(source: Source) -> Choice:
    """Where a split's pictures and boxes lie, and what they can be chosen by.

    Raises:
        UsageError: the split has no boxes.
    """
    options = _openimages_options.read(source)
    if "boxes" not in options.csvs:
        raise UsageError(
            "no subset can be made of a split without boxes",
            where=f"{source.manifest.name}/{source.split.name}",
        )
    images = f"{source.split.name}-images.tar"
    kinds = {kind: _here(source, options, kind) for kind in _CUT}
    given: dict[str, Any] = {"images": (images,)}
    given |= {kind: names for kind, names in kinds.items() if names}
    training = source.manifest.training or source.split
    given["mids"] = source.split.options.get("mids", training.options.get("mids", ()))
    below = source.split.options.get("subclasses", training.options.get("subclasses"))
    given |= {"subclasses": below} if below else {}
    classes = {one.name: one.classes for one in source.manifest.fields}.get("labels", ())
    annotations = tuple(name for names in kinds.values() for name in names)
    subclasses = _openimages_options.subclasses(source, tuple(classes))
    return Choice(images, options.images, annotations, tuple(classes), given, subclasses)


def pictures(source: Source, labels: Collection[int] | None) -> Iterator[Picture]:
    """The pictures with a box of one of the labels, or with any, by their ids.

    Raises:
        DataError: the boxes are not what the format says.
    """
    options = _openimages_options.read(source)
    found = np.empty(0, np.uint64)
    for name in options.csvs["boxes"]:
        for piece in _openimages_csv.pieces(source.path(name), "boxes"):
            ids = piece.image
            if labels is not None:
                texts, codes = piece.texts("label")
                good = np.array([options.mids.get(text, -1) in labels for text in texts] + [False])
                ids = ids[good[codes]]
            found = np.union1d(found, ids)
    for number in found.tolist():
        yield Picture(f"{number:016x}", f"{source.split.name}/{number:016x}.jpg")


def cut(source: Source, keys: Collection[str], labels: Collection[int] | None) -> Iterator[Cutting]:
    """The annotation files with the rows of these pictures alone, as far as they are here; with
    ``labels`` also without the boxes of other classes."""
    options = _openimages_options.read(source)
    mids = {mid for mid, label in options.mids.items() if label in (labels or ())}
    for kind in _CUT:
        for name in _here(source, options, kind):
            layout = _openimages_csv.layout_of(source.path(name), kind)
            image, label = layout.columns.index("image"), layout.columns.index("label")
            with source.path(name).open("rb") as file:
                head = file.read(layout.start if layout.first == 2 else 0)
            kept = [head.decode("latin-1")]
            for line in _openimages_lines.lines(source.path(name), layout.start):
                cells = line.split(",")
                if (
                    len(cells) > max(image, label)
                    and cells[image].strip(' "\r\n').lower() in keys
                    and (kind != "boxes" or labels is None or cells[label].strip() in mids)
                ):
                    kept.append(line if line.endswith(("\n", "\r")) else line + "\n")
            yield Cutting(name, "", "".join(kept).encode("latin-1"))


def _here(source: Source, options: Options, kind: str) -> tuple[str, ...]:
    """The files of a kind: the boxes', which decide, and others that are in the store."""
    names = options.csvs.get(kind, ())
    return tuple(n for n in names if kind == "boxes" or source.path(n).is_file())
