"""COCO's JSON files as columns, by msgspec, in a small multiple of a file's own size.

Only a file's outline is decoded at once. Each annotation is then decoded alone, its numbers go into
typed arrays, and its segmentation is kept as the text that it is, drawn when its sample is read.
One that cannot be is a fault of its image alone; one of no image is counted as stray.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from dsets.codecs import MAX_PIXELS
from dsets.errors import DataError

JSON_BYTES = 4 << 30
POINTS = 17
_LARGEST = 1 << 53
T = TypeVar("T")
if TYPE_CHECKING:
    Whole = int
    Flag = int
else:  # as JSON may write them: 1, 1.0 or 1e0, a flag also true; ``_exact`` makes them int
    Whole = int | float
    Flag = int | float | bool


def whole(number: float) -> int:
    """A whole number that JSON wrote with a point or an exponent. Raises ValueError for others."""
    if number != int(number):
        raise ValueError(f"{number} is no whole number")
    return int(number)


def _exact(one: Any, *names: str) -> None:
    for name in names:
        if type(value := getattr(one, name)) is not int:
            setattr(one, name, whole(value))


class Image(msgspec.Struct, gc=False):
    id: Whole
    file_name: str
    width: Any = None  # of a bad one anything
    height: Any = None

    def __post_init__(self) -> None:
        _exact(self, "id")


class Category(msgspec.Struct, gc=False):
    id: Whole
    name: str

    def __post_init__(self) -> None:
        _exact(self, "id")


class _Outline(msgspec.Struct):
    images: list[Image]
    annotations: list[msgspec.Raw] = []
    categories: list[Category] = []


class _Object(msgspec.Struct, gc=False):
    id: Whole
    image_id: Whole
    category_id: Whole
    bbox: tuple[float, float, float, float]
    area: float = 0.0
    iscrowd: Flag = 0
    segmentation: msgspec.Raw = msgspec.Raw(b"[]")
    keypoints: list[float] = []

    def __post_init__(self) -> None:
        _exact(self, "id", "image_id", "category_id", "iscrowd")


class _Owned(msgspec.Struct, gc=False):
    image_id: Whole

    def __post_init__(self) -> None:
        _exact(self, "image_id")


class _Caption(msgspec.Struct, gc=False):
    image_id: Whole
    caption: str

    def __post_init__(self) -> None:
        _exact(self, "image_id")


class _Segment(msgspec.Struct, gc=False):
    id: Whole
    category_id: Whole
    bbox: tuple[float, float, float, float]
    area: float = 0.0
    iscrowd: Flag = 0

    def __post_init__(self) -> None:
        _exact(self, "id", "category_id", "iscrowd")


class _Panoptic(msgspec.Struct, gc=False):
    image_id: Whole
    file_name: str
    segments_info: list[_Segment]

    def __post_init__(self) -> None:
        _exact(self, "image_id")


class Rows(NamedTuple):
    """The rows of a split: ``of`` has each image's id, with -1 where it is left out on purpose."""

    of: Mapping[int, int]
    number: int


@dataclass(slots=True)
class File:
    """The outline of one file; ``where`` names it in errors.

    ``faults``: image → what is wrong with the first bad annotation of it, in fixed words, and in
    full. ``strays``: how many annotations are of no image, and the first. ``halves``: as in
    ``decoded``. ``twice``: how many ids several annotations have, and the first.
    """

    where: str
    images: list[Image]
    categories: dict[int, str]
    annotations: list[msgspec.Raw]
    faults: dict[int, tuple[str, str]] = field(default_factory=dict)
    strays: tuple[int, str] = (0, "")
    halves: tuple[int, str] = (0, "")
    twice: tuple[int, int] = (0, 0)

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        return DataError(what, where=self.where, expected=expected, got=got)

    def fault(self, image: int, what: str, got: object) -> None:
        if image not in self.faults:
            where = f"{self.where}: image {image}"
            self.faults[image] = what, str(DataError(what, where=where, got=f"{got!s:.200}"))

    def stray(self, what: str) -> None:
        self.strays = self.strays[0] + 1, self.strays[1] or what

    @property
    def remarks(self) -> Iterator[str]:
        """What of the file is of no image, or was not taken as it is, a line each."""
        number, first = self.strays
        if number:
            left = f"{number} annotations are of no image of the split and left out"
            yield f"{self.where}: {left}; the first is {first}"
        number, one = self.twice
        if number:
            yield f"{self.where}: {number} ids are of several annotations; the first is {one}"
        number, first = self.halves
        if number:
            replaced = "halves of characters (lone surrogates) replaced by U+FFFD"
            yield f"{self.where}: {number} {replaced}; the first in {first}"

    def of(self, kind: type[T]) -> Iterator[T]:
        """The annotations, one by one; each is forgotten when the next comes.

        One that is no such annotation is noted as a fault of its image, or else as stray.
        """
        decoder = msgspec.json.Decoder(kind)
        self.annotations.reverse()
        while self.annotations:
            text = self.annotations.pop()
            try:
                one = decoder.decode(text)
            except UNREADABLE as error:
                try:
                    image = _OWNED.decode(text).image_id
                except UNREADABLE:
                    self.stray(f"{bytes(text)[:60]!r}, of which {error!s:.100}")
                else:
                    self.fault(image, "an annotation cannot be read", error)
            else:
                yield one


UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_OWNED = msgspec.json.Decoder(_Owned)


def outline(data: bytearray, where: str) -> File:
    """The file's images, sorted by id, its categories, and its annotations still as text.

    An image whose size cannot be is noted as a fault, and has none.

    Raises:
        DataError: it is not such a file.
    """
    try:
        found, halves = decoded(data, _Outline)
    except msgspec.ValidationError as error:
        raise _not_coco(where, f"{error!s:.200}") from error
    except UNREADABLE as error:
        raise _not_coco(where, f"{error!s:.100}{_around(data, str(error))}") from error
    found.images.sort(key=lambda image: image.id)
    file = File(where, found.images, {}, found.annotations, halves=halves)
    before = None
    for image in found.images:
        if not 0 <= image.id < _LARGEST or image.id == before:
            raise file.error(
                "bad or repeated id of an image",
                expected="a number of its own, from 0 on",
                got=image.id,
            )
        if not _possible(image.width, image.height):
            got = f"width {image.width!a:.40}, height {image.height!a:.40}"
            file.fault(image.id, "the JSON gives an image no possible size", got)
            image.width = image.height = 0
        before = image.id
    for category in found.categories:
        if category.id in file.categories:
            raise file.error("a category is there twice", got=category.id)
        file.categories[category.id] = category.name
    return file


def _possible(width: Any, height: Any) -> bool:
    if not (type(width) in (int, float) and type(height) in (int, float)):
        return False
    whole = min(width, height) >= 1 and width * height <= MAX_PIXELS
    return bool(whole and width == int(width) and height == int(height))


def _not_coco(where: str, got: str) -> DataError:
    expected = "JSON with images (id, width, height, file_name), annotations and categories"
    return DataError("bad JSON of COCO", where=where, expected=expected, got=got)


def decoded(data: bytes | bytearray, kind: type[T]) -> tuple[T, tuple[int, str]]:
    """The text as one of these, how many halves of characters were replaced, and the first's place.

    Python and NumPy write what JSON does not have: a number that is none becomes null, so that only
    its annotation is bad; the half of a character beyond U+FFFF, which a caption that was cut may
    end in, becomes U+FFFD. Raises what is UNREADABLE, as msgspec does.
    """
    try:
        return msgspec.json.decode(data, type=kind), (0, "")
    except msgspec.ValidationError:
        raise
    except UNREADABLE as error:
        number, first = 0, ""

        def half(found: re.Match[bytes]) -> bytes:
            if not found["half"]:
                return found[0]
            nonlocal number, first
            number += 1
            first = first or ascii(found.string[max(found.start() - 20, 0) : found.end() + 10])
            return b"\\ufffd"

        def mended(found: re.Match[bytes]) -> bytes:
            text = found[0]
            if text[:1] != b'"':
                return b"null"
            return _ESCAPE.sub(half, text) if b"\\u" in text else text

        whole = _NO_JSON.sub(mended, data)
        try:
            return msgspec.json.decode(whole, type=kind), (number, first)
        except msgspec.ValidationError:
            raise
        except UNREADABLE:
            raise error from None


_NO_JSON = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?Infinity|NaN', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def _around(data: bytearray, error: str) -> str:
    """The bytes about which a decoder complains."""
    found = re.search(r"\(byte (\d+)\)", error)
    place = int(found[1]) if found else 0
    return f", in {bytes(data[max(place - 20, 0) : place + 20])!r}" if data else ", nothing"


class _Gathering:
    """Numbers by annotation, and texts one after the other."""

    def __init__(self, file: File, rows: Rows, codes: Mapping[str, str]) -> None:
        self._file = file
        self._rows = rows
        self.numbers: dict[str, array[Any]] = {name: array(code) for name, code in codes.items()}
        self.row = array("q")
        self.text = bytearray()
        self.text_end = array("q")

    def place(self, image: int) -> bool:
        """Note whose annotation comes; False when its image is not in the split."""
        row = self._rows.of.get(image)
        if row is None:
            self._file.stray(f"of image {image}")
        if row is None or row < 0:
            return False
        self.row.append(row)
        return True

    def add(self, **values: float) -> None:
        for name, value in values.items():
            self.numbers[name].append(value)

    def write(self, text: Any) -> None:
        self.text += text
        self.text_end.append(len(self.text))

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """In the order of the images; ``end`` (images,) says where each one's annotations end."""
        row = np.array(self.row, np.int64)
        order = np.argsort(row, kind="stable")
        found = {name: np.array(values)[order] for name, values in self.numbers.items()}
        found["end"] = np.cumsum(np.bincount(row, minlength=self._rows.number), dtype=np.int64)
        if len(self.text_end):
            ends = np.array(self.text_end, np.int64)
            found["text"] = np.frombuffer(self.text, np.uint8)  # as it is: only its bounds move
            found["text_start"], found["text_end"] = np.append(0, ends[:-1])[order], ends[order]
        else:
            found |= {"text": np.empty(0, np.uint8)}
            found |= dict.fromkeys(("text_start", "text_end"), np.empty(0, np.int64))
        return found


def objects(file: File, rows: Rows, label: Mapping[str, int]) -> dict[str, npt.NDArray[Any]]:
    """Instances, stuff or persons: id, label, x, y, width, height, area, crowd, text (the
    segmentation), end; keypoints float32 (n, 51) of those that have any, and has (0 or 1)."""
    labels = _labels(file, label)
    codes = {"id": "q", "label": "i", "area": "d", "crowd": "b", "has": "b"}
    gathering = _Gathering(file, rows, codes | dict.fromkeys(("x", "y", "width", "height"), "d"))
    points = array("f")
    for one in file.of(_Object):
        if wrong := _wrong(one, labels) or _wrong_points(one.keypoints):
            file.fault(one.image_id, *wrong)
            continue
        if not gathering.place(one.image_id):
            continue
        x, y, width, height = one.bbox
        gathering.add(id=one.id, label=labels[one.category_id], area=one.area, crowd=one.iscrowd)
        gathering.add(x=x, y=y, width=width, height=height, has=bool(one.keypoints))
        gathering.write(one.segmentation)
        if one.keypoints:
            points.extend(one.keypoints)
    columns = gathering.columns()
    order = np.argsort(np.array(gathering.row, np.int64), kind="stable")
    has = np.array(gathering.numbers["has"], np.bool_)
    place = (np.cumsum(has) - 1)[order][has[order]]
    columns["keypoints"] = np.array(points, np.float32).reshape(-1, 3 * POINTS)[place]
    ids = np.sort(columns["id"])
    if (repeated := np.unique(ids[1:][ids[1:] == ids[:-1]])).size:
        file.twice = repeated.size, int(repeated[0])
    return columns


def _wrong(one: _Object | _Segment, labels: Collection[int]) -> tuple[str, str] | None:
    """What an annotation says that cannot be, and how; None when all can."""
    x, y, width, height = one.bbox
    name = f"annotation {one.id}: "
    if one.category_id not in labels:
        return "an annotation of an unknown category", f"{name}category {one.category_id}"
    if width < 0 or height < 0:
        return "a box of negative size", f"{name}{one.bbox}"
    if one.iscrowd not in (0, 1):
        return "a crowd flag that is neither 0 nor 1", f"{name}{one.iscrowd}"
    for value in (x, y, width, height, one.area, one.id):
        if not -_LARGEST < value < _LARGEST:
            return "a number out of all bounds", f"{name}{value}"
    return None


def _wrong_points(points: list[float]) -> tuple[str, str] | None:
    if len(points) not in (0, 3 * POINTS):
        return f"keypoints that are not {3 * POINTS} numbers", f"{len(points)}"
    if points and not (min(points) > -_LARGEST and max(points) < _LARGEST):
        return "a number out of all bounds", f"keypoints from {min(points)} to {max(points)}"
    return None


def captions(file: File, rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """Captions: text in UTF-8, end."""
    gathering = _Gathering(file, rows, {})
    for one in file.of(_Caption):
        if gathering.place(one.image_id):
            gathering.write(one.caption.encode())
    return gathering.columns()


def panoptic(
    file: File, rows: Rows, label: Mapping[str, int]
) -> tuple[dict[str, npt.NDArray[Any]], dict[int, str]]:
    """Segments (id, label, x, y, width, height, area, crowd, end), and each row's PNG."""
    labels = _labels(file, label)
    codes = {"id": "q", "label": "i", "area": "d", "crowd": "b"}
    gathering = _Gathering(file, rows, codes | dict.fromkeys(("x", "y", "width", "height"), "d"))
    maps: dict[int, str] = {}
    for one in file.of(_Panoptic):
        row = rows.of.get(one.image_id)
        if row is None:
            file.stray(f"of image {one.image_id}")
        if row is None or row < 0:
            continue
        if row in maps:
            file.fault(one.image_id, "two panoptic annotations of one image", one.file_name)
            continue
        maps[row] = one.file_name
        for segment in one.segments_info:
            if wrong := _wrong(segment, labels):
                file.fault(one.image_id, *wrong)
                continue
            gathering.place(one.image_id)
            x, y, width, height = segment.bbox
            gathering.add(id=segment.id, label=labels[segment.category_id], area=segment.area)
            gathering.add(crowd=segment.iscrowd, x=x, y=y, width=width, height=height)
    return gathering.columns(), maps


def _labels(file: File, label: Mapping[str, int]) -> dict[int, int]:
    """Category id → label: the categories' ids have gaps, labels have none."""
    for name in file.categories.values():
        if name not in label:
            raise file.error(
                "a category that the manifest does not have",
                expected=f"one of {', '.join(label)}"[:200],
                got=f"{name!r:.80}",
            )
    return {number: label[name] for number, name in file.categories.items()}
