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

A sample has a problem if its annotation or a mask cannot be read, a box lies outside the picture by
more than SLACK pixels, a mask has another size than the picture, or a class mask has indices that
are no class. An annotation that only says another size than the picture's, names another picture,
or has a pose that VOC does not have, is remarked; ``size`` is the picture's own, the pose
Unspecified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dsets import codecs
from dsets.archive.blobs import Blobs
from dsets.errors import DataError, ManifestError
from dsets.field import Field
from dsets.manifest.schema import Source
from dsets.readers import Sample, _rows, _voc_index, _voc_xml, unusable
from dsets.readers._voc_index import Index

if TYPE_CHECKING:
    import pandas as pd

MASKS = ("class_mask", "object_mask")
VOID = 255
SLACK = 1  # who counts from 0 writes boxes from 0 to the width; the format counts from 1
MEMBER_BYTES = 256 << 20
_LONGEST = {"annotation": _voc_xml.XML_BYTES}
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
    where = f"{blobs.path}: {key}"
    data: dict[str, bytes] = {}
    long: DataError | None = None
    for kind in ("image", "annotation", *(name for name in MASKS if name in options.fields)):
        place, most = index.place(kind, row), _LONGEST.get(kind, MEMBER_BYTES)
        if place and place.bytes > most:
            expected, got = f"at most {most:,} bytes", f"{place.bytes:,}"
            long = long or DataError(f"{kind} too long", where=where, expected=expected, got=got)
        elif place:
            data[kind] = blobs.read(*place, f"{kind} of {key}")
    image = {"image": data["image"]} if "image" in data else {}
    if long:
        return unusable(key, image, long)
    try:
        values, remark = _values(options, index.listed(row), data, where)
    except DataError as error:
        return unusable(key, image, error)
    remarks = (remark, _another(values["filename"], key), values["remark"])
    remark = "; ".join(filter(None, remarks))
    return Sample(key, {name: values[name] for name in options.fields}, remark=remark)


def _values(
    options: _Options, listed: Any, data: Mapping[str, bytes], where: str
) -> tuple[dict[str, Any], str]:
    """Every field, and what contradicts itself. Raises DataError when the sample is bad."""
    image, xml, remark = data["image"], data.get("annotation"), ""
    try:
        size = codecs.size_of(image)
    except DataError as error:  # else whoever decodes the picture says so
        if xml is None:
            raise DataError(error.what, where=where, expected=error.expected) from error
        size = None
    values: dict[str, Any] = {"image": image}
    if xml is None and size:
        xml = _NOTHING % (size[1], size[0])
    values |= _voc_xml.parse(xml or b"", where, options.classes)
    if size:
        _check_boxes(values["boxes"], size, where)
        if isinstance(values["size"], DataError):
            remark = f"the annotation gives no size, the picture is {_size(size)}"
            values["size"] = np.array(size, np.int64)
        elif (said := tuple(values["size"].tolist())) != size:
            remark = f"the annotation says {_size(said)}, the picture is {_size(size)}"
            values["size"] = np.array(size, np.int64)
    elif isinstance(values["size"], DataError):
        raise values["size"]
    values["listed"] = _listed(listed, len(values["labels"]), where)
    for name in MASKS:
        if name in options.fields:
            classes = len(options.classes) if name == "class_mask" else None
            values[name] = _mask(name, data.get(name), size, classes, where)
    return values, remark


def _another(filename: str, key: str) -> str:
    """What to remark when an annotation names another picture than the one it is of."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    if not filename or key in (name, name.rpartition(".")[0]):
        return ""
    return f"the annotation names the picture {filename[:80]!a}, it is of {key}"


def _check_boxes(boxes: Any, size: tuple[int, int], where: str) -> None:
    height, width = size
    most = np.array([width, height, width, height]) + SLACK
    outside = np.flatnonzero(((boxes < -SLACK) | (boxes > most)).any(1))
    if outside.size:
        xmin, ymin, xmax, ymax = (boxes[outside[0]] + [1, 1, 0, 0]).tolist()
        raise DataError(
            "a box outside the picture",
            where=f"{where}: object {outside[0] + 1}",
            expected=f"within {_size(size)}",
            got=f"from {xmin:g}, {ymin:g} to {xmax:g}, {ymax:g}",
        )


def _listed(numbers: Any, count: int, where: str) -> Any:
    """bool (count,): which objects the image set names."""
    if not numbers.size:
        return np.ones(count, np.bool_)
    if numbers.min() < 1 or (count and numbers.max() > count):
        raise DataError(
            "the image set names an object that is not there",
            where=where,
            expected=f"1 to {count}",
            got=", ".join(map(str, numbers[:20].tolist())),
        )
    return np.isin(np.arange(1, count + 1), numbers)


def _mask(
    name: str,
    data: bytes | None,
    size: tuple[int, int] | None,
    classes: int | None,
    where: str,
) -> Any:
    """A mask of a picture of this size, its indices those of classes if they are said."""
    if data is None:
        return np.zeros((0, 0), np.uint8)
    try:
        if size and (own := codecs.size_of(data)) != size:  # before it is decoded
            raise DataError(
                "of another size than its picture", expected=_size(size), got=_size(own)
            )
        mask = codecs.decode_indices(data)
        if classes is not None and (none := mask[(mask > classes) & (mask < VOID)]).size:
            expected = f"0 to {classes}, and {VOID} for void"
            raise DataError("with indices that are no class", expected=expected, got=none[0])
    except DataError as error:
        raise DataError(
            f"{name} {error.what}", where=where, expected=error.expected, got=error.got
        ) from error
    return mask


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"


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
