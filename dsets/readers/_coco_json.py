"""COCO's JSON files as columns, by msgspec, in a small multiple of a file's own size.

Only a file's outline is decoded at once. Each annotation is then decoded alone, its numbers go into
typed arrays, and its segmentation is kept as the text that it is, drawn when its sample is read.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from dsets.codecs import MAX_PIXELS
from dsets.errors import DataError

JSON_BYTES = 4 << 30
POINTS = 17
_LARGEST = 1 << 53
T = TypeVar("T")


class Image(msgspec.Struct, gc=False):
    id: int
    width: int
    height: int
    file_name: str


class Category(msgspec.Struct, gc=False):
    id: int
    name: str


class _Outline(msgspec.Struct):
    images: list[Image]
    annotations: list[msgspec.Raw] = []
    categories: list[Category] = []


class _Object(msgspec.Struct, gc=False):
    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float = 0.0
    iscrowd: int = 0
    segmentation: msgspec.Raw = msgspec.Raw(b"[]")
    keypoints: list[float] = []


class _Caption(msgspec.Struct, gc=False):
    image_id: int
    caption: str


class _Segment(msgspec.Struct, gc=False):
    id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float = 0.0
    iscrowd: int = 0


class _Panoptic(msgspec.Struct, gc=False):
    image_id: int
    file_name: str
    segments_info: list[_Segment]


@dataclass(slots=True)
class File:
    """The outline of one file; ``where`` names it in errors."""

    where: str
    images: list[Image]
    categories: dict[int, str]
    annotations: list[msgspec.Raw]

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        return DataError(what, where=self.where, expected=expected, got=got)

    def of(self, kind: type[T]) -> Iterator[T]:
        """The annotations, one by one; each is forgotten when the next comes."""
        decoder = msgspec.json.Decoder(kind)
        self.annotations.reverse()
        while self.annotations:
            one = self.annotations.pop()
            try:
                yield decoder.decode(one)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise self.error("bad annotation", got=f"{error!s:.200}") from error


def outline(data: bytearray, where: str) -> File:
    """The file's images, sorted by id, its categories, and its annotations still as text.

    Raises:
        DataError: it is not such a file.
    """
    try:
        found = msgspec.json.decode(data, type=_Outline)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DataError("bad JSON of COCO", where=where, got=f"{error!s:.200}") from error
    found.images.sort(key=lambda image: image.id)
    file = File(where, found.images, {}, found.annotations)
    before = None
    for image in found.images:
        if not 0 <= image.id < _LARGEST or image.id == before:
            raise file.error("bad or repeated id of an image", got=image.id)
        if min(image.width, image.height) < 1 or image.width * image.height > MAX_PIXELS:
            raise file.error(f"image {image.id} has a bad size", got=(image.width, image.height))
        before = image.id
    for category in found.categories:
        if category.id in file.categories:
            raise file.error("a category is there twice", got=category.id)
        file.categories[category.id] = category.name
    return file


class _Gathering:
    """Numbers by annotation, and texts one after the other."""

    def __init__(self, file: File, rows: Mapping[int, int], codes: Mapping[str, str]) -> None:
        self._file = file
        self._rows = rows
        self.numbers: dict[str, array[Any]] = {name: array(code) for name, code in codes.items()}
        self.row = array("q")
        self.text = bytearray()
        self.text_end = array("q")

    def place(self, image: int) -> bool:
        """Note whose annotation comes; False when its image is not in the split."""
        if image not in self._rows:
            return False
        self.row.append(self._rows[image])
        return True

    def add(self, **values: float) -> None:
        for name, value in values.items():
            if not -_LARGEST < value < _LARGEST:
                raise self._file.error(f"bad {name} of an annotation", got=value)
            self.numbers[name].append(value)

    def write(self, text: Any) -> None:
        self.text += text
        self.text_end.append(len(self.text))

    def columns(self, count: int) -> dict[str, npt.NDArray[Any]]:
        """In the order of the images; ``end`` (images,) says where each one's annotations end."""
        row = np.array(self.row, np.int64)
        order = np.argsort(row, kind="stable")
        found = {name: np.array(values)[order] for name, values in self.numbers.items()}
        found["end"] = np.cumsum(np.bincount(row, minlength=count), dtype=np.int64)
        if len(self.text_end):
            ends = np.array(self.text_end, np.int64)
            found["text"] = np.frombuffer(self.text, np.uint8)  # as it is: only its bounds move
            found["text_start"], found["text_end"] = np.append(0, ends[:-1])[order], ends[order]
        else:
            found |= {"text": np.empty(0, np.uint8)}
            found |= dict.fromkeys(("text_start", "text_end"), np.empty(0, np.int64))
        return found


def objects(
    file: File, rows: Mapping[int, int], label: Mapping[str, int]
) -> dict[str, npt.NDArray[Any]]:
    """Instances, stuff or persons: id, label, x, y, width, height, area, crowd, text (the
    segmentation), end; keypoints float32 (n, 51) of those that have any, and has (0 or 1)."""
    labels = _labels(file, label)
    codes = {"id": "q", "label": "i", "area": "d", "crowd": "b", "has": "b"}
    gathering = _Gathering(file, rows, codes | dict.fromkeys(("x", "y", "width", "height"), "d"))
    points = array("f")
    for one in file.of(_Object):
        if one.category_id not in labels:
            raise file.error("an annotation of no category", got=one.category_id)
        if one.iscrowd not in (0, 1) or min(one.bbox[2:]) < 0:
            raise file.error(f"annotation {one.id} is impossible", got=(one.iscrowd, one.bbox))
        if len(one.keypoints) not in (0, 3 * POINTS):
            expected = f"{3 * POINTS} numbers"
            raise file.error(
                f"bad keypoints of {one.id}", expected=expected, got=len(one.keypoints)
            )
        if not gathering.place(one.image_id):
            continue
        x, y, width, height = one.bbox
        gathering.add(id=one.id, label=labels[one.category_id], area=one.area, crowd=one.iscrowd)
        gathering.add(x=x, y=y, width=width, height=height, has=bool(one.keypoints))
        gathering.write(one.segmentation)
        if one.keypoints:
            points.extend(one.keypoints)
    columns = gathering.columns(len(rows))
    order = np.argsort(np.array(gathering.row, np.int64), kind="stable")
    has = np.array(gathering.numbers["has"], np.bool_)
    place = (np.cumsum(has) - 1)[order][has[order]]
    columns["keypoints"] = np.array(points, np.float32).reshape(-1, 3 * POINTS)[place]
    return columns


def captions(file: File, rows: Mapping[int, int]) -> dict[str, npt.NDArray[Any]]:
    """Captions: text in UTF-8, end."""
    gathering = _Gathering(file, rows, {})
    for one in file.of(_Caption):
        if gathering.place(one.image_id):
            gathering.write(one.caption.encode())
    return gathering.columns(len(rows))


def panoptic(
    file: File, rows: Mapping[int, int], label: Mapping[str, int]
) -> tuple[dict[str, npt.NDArray[Any]], dict[int, str]]:
    """Segments (id, label, x, y, width, height, area, crowd, end), and each row's PNG."""
    labels = _labels(file, label)
    codes = {"id": "q", "label": "i", "area": "d", "crowd": "b"}
    gathering = _Gathering(file, rows, codes | dict.fromkeys(("x", "y", "width", "height"), "d"))
    maps: dict[int, str] = {}
    for one in file.of(_Panoptic):
        if (row := rows.get(one.image_id)) is None:
            continue
        if row in maps:
            raise file.error("two panoptic annotations of an image", got=one.image_id)
        maps[row] = one.file_name
        for segment in one.segments_info:
            if segment.category_id not in labels or segment.iscrowd not in (0, 1):
                raise file.error("a segment is impossible", got=segment.category_id)
            gathering.place(one.image_id)
            x, y, width, height = segment.bbox
            gathering.add(id=segment.id, label=labels[segment.category_id], area=segment.area)
            gathering.add(crowd=segment.iscrowd, x=x, y=y, width=width, height=height)
    return gathering.columns(len(rows)), maps


def _labels(file: File, label: Mapping[str, int]) -> dict[int, int]:
    """Category id → label: the categories' ids have gaps, labels have none."""
    for name in file.categories.values():
        if name not in label:
            raise file.error("a category that the manifest does not have", got=f"{name!r:.80}")
    return {number: label[name] for number, name in file.categories.items()}
