"""Tar, walked as a stream: ustar, with the long names of GNU and pax and GNU's binary sizes.

Only files and folders are accepted. A dataset has no links, devices or sparse files; an archive
that has one is not what was published, so the walk stops there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dsets.archive import names
from dsets.archive.stream import CHUNK_BYTES, Stream, excerpt
from dsets.errors import DataError

BLOCK_BYTES = 512
EXTENSION_BYTES = 1 << 16

_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a pipe",
    b"K": "a link with a long target",
    b"S": "a sparse file",
}
_FILE = (b"0", b"\0", b"7")
_FOLDER = b"5"
_LONG_NAME = b"L"
_PAX = b"x"
_PAX_GLOBAL = b"g"
#: A number as tar writes it, in octal.
_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in an archive. ``offset`` is where its bytes begin in the uncompressed archive."""

    name: str
    bytes: int
    offset: int


class Body:
    """The bytes of one entry, to be read before the walk goes on."""

    def __init__(self, stream: Stream, entry: Entry) -> None:
        self._entry = entry
        self._stream = stream
        self._left = entry.bytes
        self._padding = -entry.bytes % BLOCK_BYTES

    @property
    def where(self) -> str:
        return f"{self._stream.where}: {self._entry.name}"

    @property
    def _what(self) -> str:
        return f"member {self._entry.name}"

    def whole(self) -> bytearray:
        """All of it. The caller has looked at ``Entry.bytes``."""
        size, self._left = self._left, 0
        return self._stream.exactly(size, self._what)

    def chunks(self) -> Iterator[bytes]:
        """All of it, in pieces of at most 1 MiB."""
        for data in self._stream.chunks(self._left, self._what):
            self._left -= len(data)
            yield data

    def skip(self) -> None:
        """Pass over what is left of it, and the padding up to the next header."""
        self._stream.skip(self._left + self._padding, self._what)
        self._left = self._padding = 0

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        """A DataError about this member, for the caller to raise."""
        remedy = self._stream.remedy
        return DataError(what, where=self.where, expected=expected, got=got, remedy=remedy)


@dataclass(slots=True)
class _Header:
    """What the headers before one entry say so far."""

    name: str | None = None
    size: int | None = None


def walk(stream: Stream) -> Iterator[tuple[Entry, Body]]:
    """Every file of the archive, in the archive's order; what is not read of a body is skipped.

    Folders are passed over. The walk ends when the archive does: after two zero blocks, and only
    zeros may follow them.

    Raises:
        DataError: the archive is damaged, cut short or hostile.
    """
    head = stream.peek(BLOCK_BYTES)
    if any(head) and not looks_like(head):
        raise stream.error("not a tar archive", expected="a tar header", got=excerpt(head))
    given = _Header()
    while True:
        start = stream.offset
        block = stream.exactly(BLOCK_BYTES, "a tar header")
        if not any(block):
            _end(stream)
            return
        if not _sum_is_right(block):
            raise stream.error(f"damaged tar header at byte {start:,}", got=excerpt(block))
        kind = bytes(block[156:157])
        size = _size(stream, block[124:136])
        if size > stream.limit - stream.offset:
            name = names.shown(given.name if given.name is not None else _name(block))
            stream.ends_before(size, f"member {name} at byte {start:,}")
            raise stream.error(
                f"the tar header at byte {start:,} declares too much",
                expected=f"at most {stream.limit - stream.offset:,} bytes",
                got=f"{size:,}",
            )
        if kind in (_LONG_NAME, _PAX, _PAX_GLOBAL):
            _extend(stream, kind, size, given)
            continue
        name = given.name if given.name is not None else _name(block)
        size = given.size if given.size is not None else size
        given = _Header()
        folder = kind == _FOLDER or (kind in _FILE and name.endswith("/"))
        # The archive's own root is no place to write to, though "/" would be one.
        name = "." if folder and name.strip("/") in ("", ".") else _safe(stream, name)
        if not folder and kind not in _FILE:
            raise stream.error(
                f"member {name} is {_KINDS.get(kind, f'of unknown type {kind!r}')}",
                expected="files and folders only",
            )
        if folder and size:
            raise stream.error(f"folder {name} has content", expected="0 bytes", got=f"{size:,}")
        entry = Entry(name, size, stream.offset)
        body = Body(stream, entry)
        if not folder:
            yield entry, body
        body.skip()


def looks_like(block: bytes | bytearray) -> bool:
    """True when these first 512 bytes of a file are a tar header."""
    return len(block) == BLOCK_BYTES and any(block) and _sum_is_right(block)


def _sum_is_right(block: bytes | bytearray) -> bool:
    found = _OCTAL.fullmatch(block, 148, 156)
    if not found or not found[1]:
        return False
    counted = block[:148] + block[156:]  # most of it zeros, which add nothing but time
    return int(found[1], 8) == sum(counted.translate(None, b"\0")) + 8 * ord(" ")


def _size(stream: Stream, field: bytearray) -> int:
    """Octal digits, or (GNU, above 8 GiB) a big-endian number whose first bit is set."""
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise stream.error("a tar header declares a negative size")
        return int.from_bytes(field[1:], "big")
    found = _OCTAL.fullmatch(field)
    if not found:
        digits = bytes(field).strip(b" \0")
        raise stream.error("bad size in a tar header", expected="octal digits", got=repr(digits))
    return int(found[1] or b"0", 8)


def _name(block: bytearray) -> str:
    name = bytes(block[:100]).split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0":
        prefix = bytes(block[345:500]).split(b"\0", 1)[0]
        if prefix:
            name = prefix + b"/" + name
    return name.decode("utf-8", "backslashreplace")


def _extend(stream: Stream, kind: bytes, size: int, given: _Header) -> None:
    """Read a header that says something about the entry after it."""
    if size > EXTENSION_BYTES:
        raise stream.error(
            "a tar extension header is too long",
            expected=f"at most {EXTENSION_BYTES:,} bytes",
            got=f"{size:,}",
        )
    data = bytes(stream.exactly(size, "a tar extension header"))
    stream.skip(-size % BLOCK_BYTES, "the padding after a tar extension header")
    if kind == _LONG_NAME:
        given.name = data.rstrip(b"\0").decode("utf-8", "backslashreplace")
        return
    for key, value in _records(stream, data):
        if kind == _PAX_GLOBAL and key in ("path", "size"):
            raise stream.error(f"a global tar header sets every member's {key}")
        if key == "path":
            given.name = value
        elif key == "size":
            if not (value.isascii() and value.isdigit() and len(value) < 20):
                raise stream.error("bad size in a pax header", expected="digits", got=repr(value))
            given.size = int(value)
            if given.size > stream.limit - stream.offset:
                raise stream.error(
                    "a pax header declares too much",
                    expected=f"at most {stream.limit - stream.offset:,} bytes",
                    got=f"{given.size:,}",
                )
        elif key.startswith("GNU.sparse."):
            raise stream.error("a member is a sparse file", expected="files and folders only")


def _records(stream: Stream, data: bytes) -> Iterator[tuple[str, str]]:
    """The ``<length> <key>=<value>\\n`` records of a pax header; length counts the whole record."""
    while data:
        digits, _, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        record = data[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if length > len(data) or not equals or not value.endswith(b"\n"):
            raise stream.error("damaged pax header", got=excerpt(data))
        yield key.decode("utf-8", "replace"), value[:-1].decode("utf-8", "backslashreplace")
        data = data[length:]


def _safe(stream: Stream, name: str) -> str:
    found = names.safe(name)
    if found is None:
        raise stream.error(
            "hostile member name", expected="a plain relative path", got=names.shown(name)
        )
    return found


def _end(stream: Stream) -> None:
    if any(stream.exactly(BLOCK_BYTES, "the end mark of the tar archive")):
        raise stream.error("bytes after the first zero block of a tar archive", expected="a second")
    while data := stream.read(CHUNK_BYTES):
        if data.count(0) != len(data):
            raise stream.error("foreign bytes after the end of the tar archive", expected="zeros")
