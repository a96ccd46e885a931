"""A zip's central directory, read in pieces from wherever it lies: a file, or a server far away.

Nothing in it is believed: members may not overlap (one stretch of data under many names is how a
small zip becomes terabytes), names not lead outside, sizes not exceed what deflate can do. Of
members that nobody asks for only the offsets are kept, 8 bytes each.

The format: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3.12 to 4.3.16 and 4.5.3.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from typing import NamedTuple, Protocol

import numpy as np

from dsets.archive import names
from dsets.errors import CutError, DataError

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
LOCAL = struct.Struct("<4s5H3L2H")
LARGEST = 4 << 30  # bytes of a directory
_ENTRY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_TAIL = 20 + _END.size + (1 << 16) - 1  # locator and end record with the longest comment
_PIECE = 4 << 20
_RATIO = 1032  # deflate can do no better
_FULL, _FULL_16 = 0xFFFFFFFF, 0xFFFF


class Member(NamedTuple):
    """A member: ``header`` is the offset of its local header in the archive, ``end`` where the next
    thing begins, ``packed`` and ``size`` its bytes there and inflated."""

    header: int
    end: int
    packed: int
    size: int
    crc: int
    method: int


class Readable(Protocol):
    """Bytes by offset, such as ``archive.blobs.Blobs`` and ``fetch.ranges.Remote``."""

    def read(self, offset: int, size: int, what: str) -> bytes: ...

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError: ...


class _Bounds(NamedTuple):
    """Where the directory lies, how many entries it has, and what offsets count from."""

    start: int
    size: int
    entries: int
    shift: int


class _Entry(NamedTuple):
    name: str
    header: int
    packed: int
    size: int
    crc: int
    method: int
    flags: int
    mode: int


def members(
    archive: Readable,
    size: int,
    *,
    start: int = 0,
    wanted: Collection[str] | None = None,
    largest: int = LARGEST,
    unusable: dict[str, str] | None = None,
) -> dict[str, Member]:
    """Every file in the zip of ``size`` bytes at ``start``, by name; or those ``wanted`` that it
    has, in bounded memory.

    A member that cannot be read (encrypted, there twice, packed by a strange method, …) is an
    error, or, with ``unusable``, left out and put in there with the reason.

    Raises:
        DataError: it is no zip, damaged, cut short or hostile, or the directory has more than
            ``largest`` bytes. Of members that are not wanted only the offsets are looked at.
    """
    tail = archive.read(start + max(size - _TAIL, 0), min(size, _TAIL), "the end of the zip")
    bounds = _bounds(archive, start, size, tail)
    if bounds.size > largest:
        raise archive.error(
            "the directory of the zip is too long",
            expected=f"at most {largest:,} bytes",
            got=f"{bounds.size:,}",
        )

    def refuse(name: str, what: str) -> None:
        if unusable is None:
            raise archive.error(f"zip member {names.shown(name)} {what}")
        unusable.setdefault(name, what)

    offsets = array("q")
    chosen: dict[str, _Entry] = {}
    for entry in _entries(archive, start, size, tail, bounds):
        name = names.safe(entry.name)
        if not entry.name.endswith("/"):
            offsets.append(entry.header)
            if wanted is None or name in wanted or entry.name in wanted:
                if name is None or name in chosen:
                    what = "has a hostile name" if name is None else "is there twice"
                    refuse(entry.name, what)
                    continue
                chosen[name] = entry
    places = np.unique(np.frombuffer(offsets, np.int64))
    headers = Counter(entry.header for entry in chosen.values())
    found: dict[str, Member] = {}
    for name, entry in chosen.items():
        after = int(np.searchsorted(places, entry.header, "right"))
        end = int(places[after]) if after < len(places) else bounds.start - start - bounds.shift
        problem = _problem(entry, end)
        if headers[entry.header] > 1:
            problem = "overlaps another one"
        if problem or (unusable is not None and name in unusable):
            refuse(name, problem or "")
            continue
        base = start + bounds.shift
        found[name] = Member(
            base + entry.header, base + end, entry.packed, entry.size, entry.crc, entry.method
        )
    return found


def _bounds(archive: Readable, start: int, size: int, tail: bytes) -> _Bounds:
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        error = archive.error("not a sound zip archive", got="no end of a central directory")
        raise CutError(error.what, where=error.where, got=error.got, remedy=error.remedy)
    _, disk, first, _, count, length, offset, _ = _END.unpack_from(tail, at)
    end = size - len(tail) + at
    large = _large(archive, start, end, tail[max(at - _LOCATOR.size, 0) : at])
    if large:
        count, length, offset, end = large
    elif disk or first:
        raise archive.error("not a sound zip archive", got="one of several volumes")
    shift = end - length - offset
    if shift < 0 or length < 46 * (count if large else 0):
        raise archive.error("not a sound zip archive", got="a directory outside of the file")
    return _Bounds(start + end - length, length, count if large else count & _FULL_16, shift)


def _large(
    archive: Readable, start: int, end: int, before: bytes
) -> tuple[int, int, int, int] | None:
    """Count, length, offset and end of the directory by the zip64 record, if there is one; its
    locator lies right ``before`` the end record."""
    if end < _LOCATOR.size + _END_64.size or before[:4] != b"PK\6\7":
        return None
    at = end - _LOCATOR.size
    locator = _LOCATOR.unpack(before)
    # Where nothing lies before the archive the locator is right; elsewhere the record is before it.
    for place in dict.fromkeys((at - _END_64.size, locator[2])):
        if 0 <= place <= at - _END_64.size:
            data = archive.read(start + place, _END_64.size, "the end of the zip")
            record = _END_64.unpack(data)
            if record[0] == b"PK\6\6":
                return record[7], record[8], record[9], place
    raise archive.error("not a sound zip archive", got="no zip64 record where it should be")


def _entries(
    archive: Readable, start: int, size: int, tail: bytes, bounds: _Bounds
) -> Iterator[_Entry]:
    """The directory's entries; of the directory itself at most 4 MiB are in memory."""
    at, end = bounds.start, bounds.start + bounds.size
    tail_at = start + size - len(tail)
    data, place, count = b"", 0, 0

    def more(needed: int) -> bool:
        nonlocal data, place, at
        while len(data) - place < needed and at < end:
            if at >= tail_at:
                piece = tail[at - tail_at : end - tail_at]
            else:
                piece = archive.read(at, min(_PIECE, end - at), "the directory of the zip")
            data, place, at = data[place:] + piece, 0, at + len(piece)
        return len(data) - place >= needed

    while more(1):
        if not more(_ENTRY.size):
            raise archive.error("not a sound zip archive", got="a directory that is cut short")
        head = _ENTRY.unpack_from(data, place)
        name_bytes, extra_bytes, comment_bytes = head[10:13]
        whole = _ENTRY.size + name_bytes + extra_bytes + comment_bytes
        if head[0] != b"PK\1\2" or not more(whole):
            raise archive.error("not a sound zip archive", got="a directory that is damaged")
        at_name = place + _ENTRY.size
        name = data[at_name : at_name + name_bytes]
        extra = data[at_name + name_bytes : at_name + name_bytes + extra_bytes]
        place += whole
        count += 1
        yield _entry(archive, head, name, extra)
    if count != bounds.entries and count & _FULL_16 != bounds.entries:
        raise archive.error(
            "not a sound zip archive", expected=f"{bounds.entries} members", got=f"{count}"
        )


def _entry(archive: Readable, head: tuple[int, ...], name: bytes, extra: bytes) -> _Entry:
    flags, method, crc, packed, size = head[3], head[4], head[7], head[8], head[9]
    mode, header = head[15] >> 16, head[16]
    if _FULL in (packed, size, header):
        wide = _wide(extra)
        values = [size, packed, header]
        for i, value in enumerate(values):
            if value == _FULL and wide:
                values[i] = wide.pop(0)
        size, packed, header = values
    try:
        text = name.decode("utf-8" if flags & 0x800 else "cp437")
    except UnicodeDecodeError:
        raise archive.error("a zip member has a hostile name", got=repr(name[:80])) from None
    if max(size, packed, header) >= 1 << 62:
        raise archive.error(f"zip member {names.shown(text)} has impossible sizes")
    return _Entry(text, header, packed, size, crc, method, flags, mode)


def _wide(extra: bytes) -> list[int]:
    """The 8-byte numbers of the zip64 extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            body = extra[at + 4 : at + 4 + length]
            return [n for (n,) in struct.iter_unpack("<Q", body[: len(body) // 8 * 8])]
        at += 4 + length
    return []


def _problem(entry: _Entry, stop: int) -> str | None:
    if stat.S_ISLNK(entry.mode):
        return "is a symbolic link"
    if entry.flags & 1:
        return "is encrypted"
    if entry.method not in (STORED, DEFLATED):
        return f"is packed by method {entry.method}, neither stored nor deflated"
    if entry.header + LOCAL.size + entry.packed > stop:
        return "overlaps another one"
    most = entry.packed * (_RATIO if entry.method == DEFLATED else 1)
    if entry.size > most or (entry.method == STORED and entry.size != most):
        return f"cannot be {entry.size:,} bytes, packed in {entry.packed:,}"
    return None
