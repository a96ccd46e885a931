"""Reader of Open Images, V4 to V7: pictures out of tars by offset, never unpacked.

    [split.train.reader]
    images = ["train_0.tar.gz", …]           # tars, compressed or not, with any folders
    boxes = "train-annotations-bbox.csv"     # the objects, or else:
    masks = ["train-masks-0.zip", …]         # PNGs; the objects are then those that have a mask
    human_labels = ["….csv"]                 # each of these a file or a list, used as far as they
    machine_labels = ["….csv"]               # are in the store unless the split's files name them
    points = ["….csv"]
    relationships = ["….csv"]
    rotation = ["….csv"]                     # with columns ImageID and Rotation
    mids = ["/m/011k07", …]                  # of the classes; in the training split, for all
    subclasses = {Bear = ["Panda"], …}       # directly below a class; likewise for all
    without_objects = "drop"                 # pictures without box or mask; "keep" is assumed

The order is that in which the pictures lie, archive after archive; the key is the ImageID. CSV
files may have any release's columns, in any order, with or without a header, and misspelt; see
``_openimages_columns``. A value that cannot be, a class or a row that is none, is refused with file
and line. What speaks of pictures that are not in the archives is passed over and counted:
``table(…).attrs["absent"]``, kind → (rows, pictures, one's id).

Fields, each optional but ``image``, and empty where a split has no such file: ``image`` the
published bytes; ``size`` (height, width); ``rotation`` in degrees, NaN unknown; of n objects in
the file's order ``boxes`` float32 (n, 4), xmin, ymin, xmax, ymax in pixels, ``labels`` int64 (n,),
dense, ``confidences``, ``sources`` (who drew it, -1 for others), and ``occluded``, ``truncated``,
``group_of``, ``depiction``, ``inside`` int8 (n,): 1, 0, or -1 for unknown. With masks ``mask``,
``mask_ends``: see ``dsets.codecs.rle``, boxes drawn around them, and ``crowd``, always false.
Labels of the whole picture, ``human_…`` and ``machine_…``: ``labels`` int64 (n,), the class or -1
for one that is no class of objects, ``mids`` and ``mid_ends`` what it is called in any case,
UTF-8, one after the other, ``confidences`` (a human's 0 says that it is not there). ``points``
float32 (n, 2), x and y in pixels, with ``point_labels``, ``point_mids``, ``point_mid_ends``, and
``point_answers``: 1 yes, 0 no, -1 unsure. Of n relationships ``relation_boxes`` float32
(n, 2, 4), xmin, ymin, xmax, ymax in pixels of the one and of the other, ``relation_labels`` int64
(n, 2), ``relation_mids`` with ``relation_mid_ends``, two each, and ``relation_names`` with
``relation_name_ends``: ``is`` says that the second is a property of the first, such as wooden.

A table is a CSV file, gzipped or not, or a tar, compressed or not, that has one in the folder of
the split, as those of V1 to V3 do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dsets import codecs
from dsets.archive.blobs import Blobs
from dsets.codecs import rle
from dsets.errors import DataError
from dsets.manifest.schema import Source
from dsets.readers import (
    Sample,
    _openimages_index,
    _openimages_masks,
    _openimages_options,
    _openimages_pictures,
    _rows,
    unusable,
)
from dsets.readers._openimages_index import Index
from dsets.readers._openimages_options import FIELDS, FLAGS, Options
from dsets.readers._openimages_pictures import Archives
from dsets.readers._openimages_subset import choice, cut, pictures

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check", "choice", "cut", "pictures", "samples", "table"]

#: Options that list archives of which some can be read without the others.
PARTED = ("images", "masks")
_KEYS = 1 << 16  # keys that are Python objects at a time


def check(source: Source) -> None:
    """Check the split's options and the fields; no file is looked at. Raises ManifestError."""
    _openimages_options.read(source)


def table(source: Source) -> pd.DataFrame:
    """One row a picture: key, archive, offset (in what the archive inflates to), bytes; rotation;
    boxes, masks, human_labels, machine_labels, points, relationships count its annotations, as far
    as there are such files.

    Raises:
        DataError: a file is not what the manifest or the format says; it names the line.
        ManifestError: the options are not those that the module describes.
    """
    import pandas as pd

    options = _openimages_options.read(source)
    index = _openimages_index.opened(source, options)
    columns = index.columns
    found: dict[str, Any] = {
        "key": [f"{key:016x}" for key in columns["image.id"].tolist()],
        "archive": pd.Categorical.from_codes(
            columns["image.archive"], pd.Index(list(options.images))
        ),
        "offset": columns["image.offset"],
        "bytes": columns["image.bytes"],
    }
    if "image.rotation" in columns:
        found["rotation"] = columns["image.rotation"]
    counted = {
        "box": "boxes",
        "mask": "masks",
        "human": "human_labels",
        "machine": "machine_labels",
        "point": "points",
        "relation": "relationships",
    }
    for about, name in counted.items():
        if f"{about}.end" in columns:
            found[name] = np.diff(columns[f"{about}.end"], prepend=0)
    frame = pd.DataFrame(found)
    frame.attrs["absent"] = dict(index.absent)
    return frame


def keys(source: Source) -> Iterator[Sequence[str]]:
    """The table's keys in its order, some thousands at a time. Raises as ``table``."""
    index = _openimages_index.opened(source, _openimages_options.read(source))
    found = index.columns["image.id"]
    for start in range(0, len(found), _KEYS):
        yield [f"{key:016x}" for key in found[start : start + _KEYS].tolist()]


def samples(source: Source, rows: Sequence[int]) -> Iterator[Sample]:
    """The samples of these rows, in the order asked for (ascending inflates an archive once).

    A picture of more than 256 MiB, one of which not even the size can be told, and a mask that is
    damaged or no image, is the ``problem`` of its sample.

    Raises:
        DataError: a file is not what the manifest or the format says, or has changed.
        ManifestError: the options are not those that the module describes.
        UsageError: a row is not in the table.
    """
    options = _openimages_options.read(source)
    index = _openimages_index.opened(source, options)
    wanted = _rows.chosen(source, rows, len(index)).tolist()
    with ExitStack() as stack:
        archives = stack.enter_context(Archives(source, options, index.points))
        zips: dict[int, Blobs] = {}
        for row, data in _openimages_pictures.read(archives, index.columns, wanted):
            if isinstance(data, DataError):
                yield Sample(index.key(row), {"image": b""}, data)
                continue
            if "mask.end" in index.columns:
                for one in set(index.columns["mask.archive"][index.span("mask", row)].tolist()):
                    if one not in zips:
                        path = source.path(options.masks[one])
                        zips[one] = stack.enter_context(Blobs(path, _rows.remedy(source)))
            yield _sample(options, index, data, zips, row)


def images(source: Source, rows: Sequence[int]) -> Iterator[tuple[str, bytes | None]]:
    """The key and the picture of each of these rows, None for one that is too large; nothing is
    decoded and no mask read. Raises as ``samples``."""
    options = _openimages_options.read(source)
    index = _openimages_index.opened(source, options)
    wanted = _rows.chosen(source, rows, len(index)).tolist()
    with Archives(source, options, index.points) as archives:
        for row, data in _openimages_pictures.read(archives, index.columns, wanted):
            yield index.key(row), None if isinstance(data, DataError) else data


def _sample(
    options: Options, index: Index, data: bytes, zips: dict[int, Blobs], row: int
) -> Sample:
    key = index.key(row)
    values: dict[str, Any] = {
        name: np.zeros([side or 0 for side in shape], dtype)
        for name, (dtype, shape) in FIELDS.items()
        if name in options.fields
    }
    values["image"] = data
    rotation = index.columns.get("image.rotation")
    values["rotation"] = np.float32(np.nan) if rotation is None else rotation[row].copy()
    try:
        size = codecs.size_of(data)
    except DataError:
        problem = DataError("not a picture", where=key)
        return Sample(key, {name: values[name] for name in options.fields}, problem)
    values["size"] = np.array(size, np.int64)
    scale = np.array([size[1], size[0]] * 2, np.float32)
    if "box.end" in index.columns:
        values |= _boxes(index, row, scale)
    if "mask.end" in index.columns:
        masks = _decoded(options, index, row, size, zips)
        if isinstance(masks, DataError):
            return unusable(key, {"image": data}, masks)
        values |= _masks(index, row, masks)
    for about in ("human", "machine", "point"):
        if f"{about}.end" in index.columns:
            values |= _labels(options, index, about, row)
    if "point.end" in index.columns:
        span = index.span("point", row)
        values["points"] = index.columns["point.place"][span] * scale[:2]
        values["point_answers"] = index.columns["point.answer"][span].astype(np.int8)
    if "relation.end" in index.columns:
        values |= _relations(options, index, row, scale)
    return Sample(key, {name: values[name] for name in options.fields})


def _boxes(index: Index, row: int, scale: Any) -> dict[str, Any]:
    span = index.span("box", row)
    columns = index.columns
    flags = columns["box.flags"][span]
    found = {
        "boxes": columns["box.corners"][span] * scale,
        "labels": columns["box.label"][span].astype(np.int64),
        "confidences": columns["box.confidence"][span].astype(np.float32),
        "sources": columns["box.source"][span].astype(np.int8),
    }
    for place, name in enumerate(FLAGS):
        found[name] = ((flags >> (2 * place)) & 3).astype(np.int8) - np.int8(1)
    return found


def _decoded(
    options: Options, index: Index, row: int, size: tuple[int, int], zips: dict[int, Blobs]
) -> list[NDArray[np.uint8]] | DataError:
    """The masks of a picture of this size, or what is wrong with one."""
    span = index.span("mask", row)
    masks = []
    for number in range(span.start, span.stop):
        archive, member = index.mask(number)
        mid = next(islice(options.mids, int(index.columns["mask.label"][number]), None))
        name = f"{index.key(row)}_{mid[1:].replace('/', '')}"
        mask = _openimages_masks.decoded(zips[archive], member, size, name)
        if isinstance(mask, DataError):
            return mask
        masks.append(mask)
    return masks


def _masks(index: Index, row: int, masks: Sequence[NDArray[np.uint8]]) -> dict[str, Any]:
    span = index.span("mask", row)
    code, ends = rle.encode(masks)
    boxes = [_openimages_masks.box(mask) for mask in masks]
    count = len(masks)
    return {
        "mask": code,
        "mask_ends": ends,
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "labels": index.columns["mask.label"][span].astype(np.int64),
        "crowd": np.zeros(count, np.bool_),
        "confidences": np.ones(count, np.float32),
        "sources": np.full(count, -1, np.int8),
        **{name: np.full(count, -1, np.int8) for name in FLAGS},
    }


def _relations(options: Options, index: Index, row: int, scale: Any) -> dict[str, Any]:
    span = index.span("relation", row)
    mids = index.mids(index.columns["relation.codes"][span].reshape(-1))
    labels = [options.mids.get(mid.decode(), -1) for mid in mids]
    text, ends = rle.join(mids)
    names, name_ends = rle.join(index.mids(index.columns["relation.name"][span]))
    return {
        "relation_boxes": index.columns["relation.corners"][span] * scale,
        "relation_labels": np.array(labels, np.int64).reshape(-1, 2),
        "relation_mids": text,
        "relation_mid_ends": ends,
        "relation_names": names,
        "relation_name_ends": name_ends,
    }


def _labels(options: Options, index: Index, about: str, row: int) -> dict[str, Any]:
    span = index.span(about, row)
    mids = index.mids(index.columns[f"{about}.code"][span])
    text, ends = rle.join(mids)
    found: dict[str, Any] = {
        f"{about}_labels": np.array([options.mids.get(m.decode(), -1) for m in mids], np.int64),
        f"{about}_mids": text,
        f"{about}_mid_ends": ends,
    }
    if about != "point":
        confidences = index.columns[f"{about}.confidence"][span]
        found[f"{about}_confidences"] = confidences.astype(np.float32)
    return found
