"""COCO's JSON files by msgspec, in a small multiple of a file's own size.

Only a file's outline is decoded at once; each annotation is then decoded alone, and forgotten. One
that cannot be is a fault of its image alone; one of no image is counted as stray.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from dsets.codecs import MAX_PIXELS
from dsets.errors import DataError

JSON_BYTES = 4 << 30
#: What inflates more than so many times, to more than so many bytes, is no annotations: real ones
#: shrink to a third or a tenth, a line that is repeated with other numbers to a fiftieth.
BOMB_RATIO, BOMB_BYTES = 500, 64 << 20
LARGEST = 1 << 53
T = TypeVar("T")
if TYPE_CHECKING:
    Whole = int
    Flag = int
else:  # as JSON may write them: 1, 1.0 or 1e0, a flag also true; ``exact`` makes them int
    Whole = int | float
    Flag = int | float | bool


def whole(number: float) -> int:
    """A whole number that JSON wrote with a point or an exponent. Raises ValueError for others."""
    if number != int(number):
        raise ValueError(f"{number} is no whole number")
    return int(number)


def exact(one: Any, *names: str) -> None:
    for name in names:
        if type(value := getattr(one, name)) is not int:
            setattr(one, name, whole(value))


class Image(msgspec.Struct, gc=False):
    id: Whole
    file_name: str
    width: Any = None  # of a bad one anything
    height: Any = None

    def __post_init__(self) -> None:
        exact(self, "id")


class Category(msgspec.Struct, gc=False):
    id: Whole
    name: str

    def __post_init__(self) -> None:
        exact(self, "id")


class _Outline(msgspec.Struct):
    images: list[Image]
    annotations: list[msgspec.Raw] = []
    categories: list[Category] = []


class _Owned(msgspec.Struct, gc=False):
    image_id: Whole

    def __post_init__(self) -> None:
        exact(self, "image_id")


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
        if not 0 <= image.id < LARGEST or image.id == before:
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
