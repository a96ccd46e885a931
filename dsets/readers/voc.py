"""Reader of PASCAL VOC 2007 to 2012, out of the published tar by offset, never unpacked.

    [split.train.reader]
    archive = "VOCtrainval_11-May-2012.tar"
    set = "Main/train"       # below ImageSets: Main, Segmentation, Layout or Action, and a name
    annotated = 0            # where a test archive has no annotations; 1 is assumed

The order is that of the image set, the key an image's id. Members are found below VOC's own folders
(JPEGImages and so on) however deep these lie.

Fields, each optional but ``image``: ``image`` the published bytes; ``class_mask``, ``object_mask``
uint8 (?, ?), indices with 255 for the void border, (0, 0) where there is none; ``listed`` bool (?,)
the objects that a layout or action set names (in the other sets all); those of ``_voc_xml.parse``.
Boxes are edges counted from 0: as published, but 1 less for xmin and ymin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dsets import codecs
from dsets.archive.blobs import Blobs
from dsets.errors import DataError, ManifestError
from dsets.field import Field
from dsets.manifest.schema import Source
from dsets.readers import Sample, _rows, _voc_index, _voc_xml
from dsets.readers._voc_index import Index

if TYPE_CHECKING:
    import pandas as pd

MASKS = ("class_mask", "object_mask")
_AHEAD = 16  # samples of which the kernel is told
_KINDS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "image": ("uint8", (None,)),
    "size": ("int64", (2,)),
    "boxes": ("float32", (None, 4)),
    "labels": ("int64", (None,)),
    "difficult": ("bool", (None,)),
    "truncated": ("bool", (None,)),
    "occluded": ("bool", (None,)),
    "listed": ("bool", (None,)),
    "poses": ("int64", (None,)),
    "points": ("float32", (None, 2)),
    "actions": ("int8", (None, len(_voc_xml.ACTIONS))),
    "part_boxes": ("float32", (None, 4)),
    "part_labels": ("int64", (None,)),
    "part_objects": ("int64", (None,)),
    "class_mask": ("uint8", (None, None)),
    "object_mask": ("uint8", (None, None)),
}
_NOTHING = b"<annotation><size><width>%d</width><height>%d</height></size></annotation>"


@dataclass(frozen=True, slots=True)
class _Options:
    archive: str
    image_set: str
    annotated: bool
    fields: tuple[str, ...]
    classes: tuple[str, ...]


def check(source: Source) -> None:
    """Check the split's options and the fields; no file is looked at. Raises ManifestError."""
    _options(source)


def table(source: Source) -> pd.DataFrame:
    """One row an image: key; offset and bytes of the picture; annotated, segmented: bool.

    Raises:
        DataError: the archive is not what the manifest or the format says.
        ManifestError: the options are not those that the module describes.
    """
    import pandas as pd

    index = _opened(source, _options(source))
    columns = index.columns
    return pd.DataFrame(
        {
            "key": [index.key(row) for row in range(len(index))],
            "offset": columns["image_offset"],
            "bytes": columns["image_bytes"],
            "annotated": columns["annotation_offset"] >= 0,
            "segmented": columns["class_mask_offset"] >= 0,
        }
    )


def samples(source: Source, rows: Sequence[int]) -> Iterator[Sample]:
    """The samples of these rows, in the order asked for.

    Raises:
        DataError: the archive is not what the manifest or the format says, or has changed.
        ManifestError: the options are not those that the module describes.
        UsageError: a row is not in the table.
    """
    options = _options(source)
    index = _opened(source, options)
    wanted = _rows.chosen(source, rows, len(index)).tolist()
    with Blobs(source.path(options.archive), _rows.remedy(source)) as blobs:
        for number, row in enumerate(wanted):
            if number % _AHEAD == 0:
                for coming in wanted[number : number + 2 * _AHEAD]:
                    if place := index.place("image", coming):
                        blobs.announce(*place)
            yield _sample(options, index, blobs, row)


def _sample(options: _Options, index: Index, blobs: Blobs, row: int) -> Sample:
    key = index.key(row)

    def read(kind: str) -> bytes | None:
        place = index.place(kind, row)
        return None if place is None else blobs.read(*place, f"{kind} of {key}")

    where = f"{blobs.path}: {key}"
    if (place := index.place("annotation", row)) and place.bytes > _voc_xml.XML_BYTES:
        raise DataError(
            "annotation too long", where=where, expected=f"at most {_voc_xml.XML_BYTES:,} bytes"
        )
    image = blobs.read(*(index.place("image", row) or (0, 0)), f"image of {key}")
    xml = read("annotation")
    if xml is None:
        height, width = _size(image, where)
        xml = _NOTHING % (width, height)
    values: dict[str, Any] = {"image": image, **_voc_xml.parse(xml, where, options.classes)}
    listed = index.listed(row)
    count = len(values["labels"])
    if not listed.size:
        values["listed"] = np.ones(count, np.bool_)
    elif listed.min() < 1 or (count and listed.max() > count):
        raise DataError(
            "the image set names an object that is not there",
            where=where,
            expected=f"1 to {count}",
            got=", ".join(map(str, listed.tolist())),
        )
    else:
        values["listed"] = np.isin(np.arange(1, count + 1), listed)
    for name in MASKS:
        if name in options.fields:
            values[name] = _mask(read(name), f"{where}: {name}")
    return Sample(key, {name: values[name] for name in options.fields})


def _size(image: bytes, where: str) -> tuple[int, int]:
    try:
        return codecs.size_of(image)
    except DataError as error:
        raise DataError(error.what, where=where, expected=error.expected) from error


def _mask(data: bytes | None, where: str) -> Any:
    if data is None:
        return np.zeros((0, 0), np.uint8)
    try:
        return codecs.decode_indices(data)
    except DataError as error:
        raise DataError(error.what, where=where, expected=error.expected, got=error.got) from error


def _opened(source: Source, options: _Options) -> Index:
    return _voc_index.opened(
        source, options.archive, options.image_set, annotated=options.annotated
    )


def _options(source: Source) -> _Options:
    given = _rows.options(source, {"archive": True, "set": True, "annotated": False})
    archive, image_set, annotated = given["archive"], given["set"], given.get("annotated", 1)
    if archive not in source.split.files:
        raise _rows.bad_option(source, "archive", f"one of {source.split.files}", repr(archive))
    if not isinstance(image_set, str) or image_set.count("/") != 1:
        raise _rows.bad_option(source, "set", "such as Main/train", repr(image_set))
    if annotated not in (0, 1):
        raise _rows.bad_option(source, "annotated", "0 or 1", repr(annotated))
    fields = {field.name: field for field in source.manifest.fields}
    if "image" not in fields or not all(map(_known, fields.values())):
        known = "; ".join(str(Field(name, *kind)) for name, kind in _KINDS.items())
        raise ManifestError(
            "the fields are not VOC's",
            where=source.manifest.origin,
            expected=f"image and others of {known}",
            got="; ".join(map(str, fields.values())),
        )
    classes = fields["labels"].classes if "labels" in fields else ()
    if not classes:
        raise ManifestError(
            "the field labels names no classes", where=source.manifest.origin, expected="classes"
        )
    return _Options(str(archive), image_set, bool(annotated), tuple(fields), classes)


def _known(field: Field) -> bool:
    return _KINDS.get(field.name) == (field.dtype, field.shape)
