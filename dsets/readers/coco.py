"""Reader of COCO 2014 and 2017, out of the published zips by offset, never unpacked.

    [split.train.reader]
    images = "train2017.zip"
    folder = "train2017"                          # within it; annotations end in it
    instances = "annotations_trainval2017.zip"    # instances_train2017.json within it
    keypoints = "annotations_trainval2017.zip"    # person_keypoints_…
    captions = "annotations_trainval2017.zip"
    stuff = "stuff_annotations_trainval2017.zip"
    panoptic = "panoptic_annotations_trainval2017.zip"   # JSON, and a zip of PNGs within the zip
    without_annotations = "drop"                  # images without instances; "keep" is assumed

All kinds of annotation are optional; one must say which images there are, else ``info``, such as
``image_info_test2017.zip``, with ``annotations = "test-dev2017"`` where the JSON has another name.
Images that no JSON lists are passed over. The order is that of the images' ids; the key is the
file's name without its ending.

Fields, each optional but ``image``, and empty where a split has no such annotation: ``image`` the
published bytes; ``image_id``; ``size`` (height, width); of n objects in the JSON's order ``boxes``
float32 (n, 4), xmin, ymin, xmax, ymax, ``labels`` int64 (n,), dense: the place of the category's
name among the classes; ``crowd``, ``areas``, ``annotation_ids``; ``mask``, ``mask_ends``: see
``dsets.codecs.rle``; ``keypoints`` (n, 17, 3), zeros for what is no person; ``caption`` UTF-8, one
after the other, ``caption_ends``; stuff likewise; ``panoptic_map`` int32 (height, width), segment
ids (R + 256 G + 65536 B), and of m segments ``segment_ids``, ``segment_labels``, ``segment_boxes``,
``segment_crowd``, ``segment_areas``.

A sample has a problem if an annotation of it cannot be read or says what cannot be, a box lies
wholly outside the picture, a mask is none (a polygon of fewer than three corners too), its panoptic
map is not there, or the JSON gives the picture another size and has objects in it. Annotations of
no image of the split are left out and remarked; remarked only are ids of several annotations, a
keypoint's visibility that is none of 0, 1, 2, and a panoptic map that does not show the segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsets import codecs
from dsets.archive import zipindex
from dsets.archive.blobs import Blobs
from dsets.codecs import rle
from dsets.errors import DataError
from dsets.manifest.schema import Source
from dsets.readers import (
    Sample,
    _coco_index,
    _coco_map,
    _coco_masks,
    _coco_options,
    _rows,
    unusable,
)
from dsets.readers._coco_columns import POINTS
from dsets.readers._coco_index import Index
from dsets.readers._coco_options import FIELDS, Options
from dsets.readers._coco_subset import choice, cut, pictures

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check", "choice", "cut", "empty", "pictures", "remarks", "samples", "table"]

_AHEAD = 16  # samples of which the kernel is told


def check(source: Source) -> None:
    """Check the split's options and the fields; no file is looked at. Raises ManifestError."""
    _coco_options.read(source)


def empty(source: Source) -> tuple[str, ...]:
    """The fields of which the split has no annotations. Raises ManifestError."""
    return _coco_options.read(source).empty


def table(source: Source) -> pd.DataFrame:
    """One row an image: key, image_id, height, width, offset (of its zip header), bytes; objects
    and captions count its annotations, where the split has such.

    Raises:
        DataError: a file is not what the manifest or the format says.
        ManifestError: the options are not those that the module describes.
    """
    import pandas as pd

    index = _coco_index.opened(source, _coco_options.read(source))
    columns = index.columns
    found = {
        "key": [index.key(row) for row in range(len(index))],
        "image_id": columns["image.id"],
        "height": columns["image.height"],
        "width": columns["image.width"],
        "offset": columns["file.header"],
        "bytes": columns["file.size"],
    }
    for about in ("object", "caption"):
        if f"{about}.end" in columns:
            found[f"{about}s"] = np.diff(columns[f"{about}.end"], prepend=0)
    return pd.DataFrame(found)


def remarks(source: Source) -> Sequence[str]:
    """What of the JSON is of no image of the split and left out, a line a file.

    Raises:
        DataError: a file is not what the manifest or the format says.
    """
    return _coco_index.opened(source, _coco_options.read(source)).remarks


def samples(source: Source, rows: Sequence[int]) -> Iterator[Sample]:
    """The samples of these rows, in the order asked for.

    Raises:
        DataError: a file is not what the manifest or the format says, or has changed.
        ManifestError: the options are not those that the module describes.
        UsageError: a row is not in the table.
    """
    options = _coco_options.read(source)
    index = _coco_index.opened(source, options)
    wanted = _rows.chosen(source, rows, len(index)).tolist()
    remedy = _rows.remedy(source)
    with ExitStack() as stack:
        blobs = stack.enter_context(Blobs(source.path(options.images), remedy))
        maps = stack.enter_context(Blobs(Path(index.maps), remedy)) if index.maps else None
        for number, row in enumerate(wanted):
            if number % _AHEAD == 0:
                for coming in wanted[number : number + 2 * _AHEAD]:
                    if member := index.member("file", coming):
                        blobs.announce(member.header, member.end - member.header)
            yield _sample(options, index, blobs, maps, row)


def _sample(options: Options, index: Index, blobs: Blobs, maps: Blobs | None, row: int) -> Sample:
    key = index.key(row)
    where = f"{blobs.path}: {key}"
    image = _member(index, "file", blobs, row, key)
    if isinstance(image, DataError):
        return unusable(key, {}, image)
    if fault := index.fault(row):
        return Sample(key, {"image": image}, DataError(fault[0]), fault[1])
    painted: bytes | DataError | None = None
    if maps is not None and "segment.end" in index.columns and index.member("map", row):
        painted = _member(index, "map", maps, row, key)
    try:
        if isinstance(painted, DataError):
            raise painted
        values, remark = _values(options, index, row, (image, painted), where)
    except DataError as error:
        return unusable(key, {"image": image}, error)
    return Sample(key, {name: values[name] for name in options.fields}, remark=remark)


def _values(
    options: Options, index: Index, row: int, data: tuple[bytes, bytes | None], where: str
) -> tuple[dict[str, Any], str]:
    """Every field, and what contradicts itself. Raises DataError when the sample is bad."""
    columns = index.columns
    image, painted = data
    size, remark = _size(index, row, image, where)
    values: dict[str, Any] = {
        name: np.zeros([side or 0 for side in shape], dtype)
        for name, (dtype, shape) in FIELDS.items()
        if name in options.fields
    }
    values["image"] = image
    values["image_id"] = columns["image.id"][row].astype(np.int64)
    values["size"] = np.array(size, np.int64)
    if "object.end" in columns:
        values |= _objects(index, row, "object", size, where, options)
        values["keypoints"] = _keypoints(index, row)
        remark = remark or _visibility(values["keypoints"])
    if "stuff.end" in columns:
        stuff = _objects(index, row, "stuff", size, where, options)
        values |= {f"stuff_{name}": stuff[name] for name in ("labels", "mask", "mask_ends")}
    if "caption.end" in columns:
        span = index.span("caption", row)
        texts = [index.text("caption", number) for number in range(span.start, span.stop)]
        values["caption"], values["caption_ends"] = rle.join(texts)
    if "segment.end" in columns:
        span = index.span("segment", row)
        segments = _boxed(index, "segment", span, size, where)
        values |= {f"segment_{name}": value for name, value in segments.items()}
        values["segment_ids"] = columns["segment.id"][span].astype(np.int64)
        if painted is not None:
            values["panoptic_map"] = found = _coco_map.decoded(painted, size, where)
            remark = remark or _coco_map.contradiction(
                found, values["segment_ids"], segments["areas"]
            )
    return values, remark


def _size(index: Index, row: int, image: bytes, where: str) -> tuple[tuple[int, int], str]:
    """The picture's height and width, and what the JSON says of it that is not so.

    Raises:
        DataError: it has objects, which lie on a picture of another size.
    """
    said = int(index.columns["image.height"][row]), int(index.columns["image.width"][row])
    try:
        size = codecs.size_of(image)
    except DataError:  # whoever decodes the picture says so
        return said, ""
    if size == said:
        return size, ""
    wrong = DataError(
        "the JSON gives another width and height than the picture has",
        where=where,
        expected=f"{size[1]} x {size[0]}",
        got=f"{said[1]} x {said[0]}",
    )
    for about in ("object", "stuff", "segment"):
        if f"{about}.end" in index.columns:
            span = index.span(about, row)
            if span.start < span.stop:
                raise wrong
    return size, str(wrong)


def _member(index: Index, about: str, blobs: Blobs, row: int, key: str) -> bytes | DataError:
    """A member's bytes, or what is wrong with it alone. Raises DataError for the whole archive."""
    member = index.member(about, row)
    if member is None:
        raise blobs.error(f"there is no {about} of {key}")
    return zipindex.alone(blobs, f"{about} of {key}", member, _coco_index.IMAGE_BYTES)


def _boxed(
    index: Index, about: str, span: slice, size: tuple[int, int], where: str
) -> dict[str, Any]:
    """Raises DataError where a box has nothing of a picture of this size."""
    x, y, width, height = (
        index.columns[f"{about}.{name}"][span] for name in ("x", "y", "width", "height")
    )
    outside = np.zeros(len(x), np.bool_)
    for start, length, whole in ((x, width, size[1]), (y, height, size[0])):
        outside |= (start < 0) & (start + length <= 0)
        outside |= (start + length > whole) & (start >= whole)
    for one in np.flatnonzero(outside)[:1]:
        raise DataError(
            "a box outside the picture",
            where=f"{where}: annotation {index.columns[f'{about}.id'][span][one]}",
            expected=f"within {size[1]} x {size[0]}",
            got=f"{x[one]:g}, {y[one]:g}, {width[one]:g} wide, {height[one]:g} high",
        )
    return {
        "boxes": np.stack([x, y, x + width, y + height], 1).astype(np.float32),
        "labels": index.columns[f"{about}.label"][span].astype(np.int64),
        "crowd": index.columns[f"{about}.crowd"][span] > 0,
        "areas": index.columns[f"{about}.area"][span].astype(np.float32),
    }


def _objects(
    index: Index, row: int, about: str, size: tuple[int, int], where: str, options: Options
) -> dict[str, Any]:
    span = index.span(about, row)
    found = _boxed(index, about, span, size, where)
    found["annotation_ids"] = index.columns[f"{about}.id"][span].astype(np.int64)
    if ("mask" if about == "object" else "stuff_mask") in options.fields:
        ids = index.columns[f"{about}.id"]
        codes = (
            _coco_masks.code(index.text(about, number), size, f"{where}: annotation {ids[number]}")
            for number in range(span.start, span.stop)
        )
        found["mask"], found["mask_ends"] = rle.join(codes)
    return found


def _keypoints(index: Index, row: int) -> Any:
    span = index.span("object", row)
    columns = index.columns
    found = np.zeros((span.stop - span.start, 3 * POINTS), np.float32)
    if "person.row" in columns:
        place = columns["person.row"][span]
        there = place >= 0
        found[there] = columns["person.keypoints"][place[there]]
    else:
        has = columns["object.has"] > 0
        before = int(has[: span.start].sum())
        there = has[span]
        found[there] = columns["object.keypoints"][before : before + int(there.sum())]
    return found.reshape(-1, POINTS, 3)


def _visibility(keypoints: Any) -> str:
    """What to remark of keypoints (n, 17, 3), each with its visibility: 0, 1 or 2."""
    said = keypoints[..., 2]
    strange = said[~np.isin(said, (0, 1, 2))]
    return f"a keypoint's visibility is {strange[0]:g}, not 0, 1 or 2" if strange.size else ""
