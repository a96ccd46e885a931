"""What of a COCO split a subset takes, and its annotations: the same JSON with fewer entries.

Every entry that stays is the text that was published, byte for byte.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import Any, TypeVar

import msgspec

from dsets.archive import names
from dsets.archive.blobs import Blobs
from dsets.errors import DataError, UsageError
from dsets.manifest.schema import Source
from dsets.readers import Choice, Cutting, Picture, _coco_index, _coco_json, _coco_options, _rows
from dsets.readers._coco_json import UNREADABLE, Whole
from dsets.readers._coco_options import Options

T = TypeVar("T")
_WHOLE = ("panoptic",)  # kinds whose pixels lie in an archive of their own


class _Named(msgspec.Struct, gc=False):
    id: Whole
    file_name: str


class _Owned(msgspec.Struct, gc=False):
    image_id: Whole
    category_id: Any = -1  # of a bad annotation anything


class _Parts(msgspec.Struct):
    """A file with everything still as text."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw] = []
    categories: msgspec.Raw = msgspec.Raw(b"[]")
    info: msgspec.Raw = msgspec.Raw(b"{}")
    licenses: msgspec.Raw = msgspec.Raw(b"[]")


def choice(source: Source) -> Choice:
    """Where a split's images and annotations lie, and what they can be chosen by.

    Raises:
        UsageError: no subset of this split can be made.
    """
    options = _coco_options.read(source)
    if any(kind in _WHOLE for kind in options.kinds):
        raise UsageError(
            "no subset of panoptic maps can be made",
            where=f"{source.manifest.name}/{source.split.name}",
            remedy="choose a split without them",
        )
    objects = "instances" in options.kinds or "keypoints" in options.kinds
    return Choice(
        options.images,
        (options.images,),
        tuple(dict.fromkeys(options.kinds.values())),
        tuple(options.labels) if objects else (),
        source.split.options,
    )


def pictures(source: Source, labels: Collection[int] | None) -> Iterator[Picture]:
    """The images with an object of one of the labels, or all of the split, by their ids.

    Raises:
        DataError: the annotations are not what the format says.
    """
    options = _coco_options.read(source)
    kind = next((k for k in ("instances", "keypoints") if k in options.kinds), options.outline)
    file = _coco_index.read_json(source, options, kind)
    owners: set[int] | None = None
    if labels is not None or options.drop:
        numbers = _numbers(options, file.categories)
        owners = {
            one.image_id
            for one in file.of(_Owned)
            if labels is None or _label(numbers, one) in labels
        }
    seen: set[str] = set()
    for image in file.images:
        if owners is None or image.id in owners:
            place = f"{options.folder}/{image.file_name}"
            key = PurePosixPath(image.file_name).stem
            if names.safe(place) != place or key in seen:
                raise file.error("bad or repeated name of an image", got=f"{place!r:.80}")
            seen.add(key)
            yield Picture(key, place)


def cut(source: Source, keys: Collection[str], labels: Collection[int] | None) -> Iterator[Cutting]:
    """The split's annotation files with the images of these keys alone; with ``labels`` also
    without the objects of other classes.

    Raises:
        DataError: the annotations are not what the format says.
    """
    options = _coco_options.read(source)
    for kind, archive in options.kinds.items():
        parts = _parts(source, options, kind)
        categories = _decoded(source, list[_coco_json.Category], parts.categories)
        numbers = _numbers(options, {one.id: one.name for one in categories})
        labelled = labels is not None and kind in ("instances", "keypoints")
        ids: set[int] = set()
        images, annotations = [], []
        for text, image in _each(source, _Named, parts.images):
            if PurePosixPath(image.file_name).stem in keys:
                ids.add(image.id)
                images.append(text)
        for text in parts.annotations:
            try:
                one = _OWNED.decode(text)
            except UNREADABLE:
                continue  # of no image that could be told
            right = not labelled or _label(numbers, one) in (labels or ())
            if one.image_id in ids and right:
                annotations.append(text)
        data = b'{"info":%s,"licenses":%s,"categories":%s,\n"images":[\n%s\n],\n' % (
            bytes(parts.info),
            bytes(parts.licenses),
            bytes(parts.categories),
            b",\n".join(map(bytes, images)),
        )
        data += b'"annotations":[\n%s\n]}\n' % b",\n".join(map(bytes, annotations))
        yield Cutting(archive, f"annotations/{options.member(kind, '.json')}", data)


def _numbers(options: Options, categories: dict[int, str]) -> dict[int, int]:
    """Category id → label."""
    return {i: options.labels[name] for i, name in categories.items() if name in options.labels}


_OWNED = msgspec.json.Decoder(_Owned)


def _label(numbers: dict[int, int], one: _Owned) -> int | None:
    return numbers.get(one.category_id) if type(one.category_id) in (int, float) else None


def _parts(source: Source, options: Options, kind: str) -> _Parts:
    path = source.path(options.kinds[kind])
    name = options.member(kind, ".json")
    with Blobs(path, _rows.remedy(source)) as blobs:
        data = _coco_index.json_member(source, blobs, name)
    return _decoded(source, _Parts, data)


def _each(source: Source, kind: type[T], texts: list[msgspec.Raw]) -> Iterator[tuple[Any, T]]:
    """Every text with what it says."""
    decoder = msgspec.json.Decoder(kind)
    for text in texts:
        try:
            yield text, decoder.decode(text)
        except UNREADABLE as error:
            raise _bad(source, error) from error


def _decoded(source: Source, kind: type[T], data: Any) -> T:
    try:
        found, _ = _coco_json.decoded(data, kind)
    except UNREADABLE as error:
        raise _bad(source, error) from error
    return found


def _bad(source: Source, error: Exception) -> DataError:
    where = f"{source.manifest.name}/{source.split.name}"
    return DataError("bad JSON of COCO", where=where, got=f"{error!s:.200}")
