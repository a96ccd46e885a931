"""Where the members of a zip lie in the file, and the bytes of one of them; never unpacked.

The central directory is read by ``zipfile``, and nothing in it is believed: members may not overlap
(one stretch of data under many names is how a small zip becomes terabytes), names not lead outside,
sizes not exceed what deflate can do. What a member inflates to is counted and its CRC compared.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from dsets.archive import names
from dsets.archive.stream import CHUNK_BYTES, REMEDY
from dsets.errors import DataError

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_RATIO = 1032  # deflate can do no better
_HEADER = struct.Struct("<4s5H3L2H")


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
    """Bytes by offset, such as ``readers._blobs.Blobs``."""

    def read(self, offset: int, size: int, what: str) -> bytes: ...

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError: ...


class Window(io.RawIOBase):
    """A part of a file as a file: an archive that lies stored in another."""

    def __init__(self, path: Path, start: int = 0, size: int | None = None) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        there = os.fstat(self._file.fileno()).st_size
        self._start = start
        self._size = there - start if size is None else size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = max(0, min(len(buffer), self._size - self._at))
        data = os.pread(self._file.fileno(), size, self._start + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def members(
    path: Path, *, start: int = 0, size: int | None = None, remedy: str = REMEDY
) -> dict[str, Member]:
    """Every file in the zip at ``path``, or in that which lies in these bytes of it, by name.

    Raises:
        DataError: it is no zip, damaged, cut short or hostile.
    """
    if not path.is_file():  # opening a pipe would wait for ever
        raise DataError("no such file", where=path, remedy=remedy)
    try:
        with Window(path, start, size) as window, zipfile.ZipFile(io.BufferedReader(window)) as one:
            end = one.start_dir
            infos = [info for info in one.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
        raise DataError(
            "not a sound zip archive", where=path, got=str(error)[:120], remedy=remedy
        ) from error
    found: dict[str, Member] = {}
    offsets = np.array([info.header_offset for info in infos], np.int64)
    ends = np.append(np.sort(offsets)[1:], end)[np.argsort(np.argsort(offsets, kind="stable"))]
    for info, stop in zip(infos, ends.tolist(), strict=True):
        if problem := _problem(info, stop):
            raise DataError(
                f"zip member {names.shown(info.filename)} {problem}", where=path, remedy=remedy
            )
        name = names.safe(info.filename) or ""
        if name in found:
            raise DataError(f"zip member {name} is there twice", where=path, remedy=remedy)
        found[name] = Member(
            start + info.header_offset,
            start + stop,
            info.compress_size,
            info.file_size,
            info.CRC,
            info.compress_type,
        )
    return found


def _problem(info: zipfile.ZipInfo, stop: int) -> str | None:
    if names.safe(info.filename) is None:
        return "has a hostile name"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type not in (STORED, DEFLATED):
        return f"is packed by method {info.compress_type}, neither stored nor deflated"
    if info.header_offset < 0 or info.header_offset + _HEADER.size + info.compress_size > stop:
        return "overlaps another one"
    most = info.compress_size * (_RATIO if info.compress_type == DEFLATED else 1)
    if info.file_size > most or (info.compress_type == STORED and info.file_size != most):
        return f"cannot be {info.file_size:,} bytes, packed in {info.compress_size:,}"
    return None


def start(readable: Readable, name: str, member: Member) -> int:
    """Where a member's data begin. Raises DataError when its own header denies what is known."""
    head = _HEADER.unpack(readable.read(member.header, _HEADER.size, f"the header of {name}"))
    begin = int(member.header + _HEADER.size + head[9] + head[10])
    if head[0] != b"PK\3\4" or head[3] != member.method or begin + member.packed > member.end:
        raise readable.error(f"the header of zip member {name} is not what the directory says")
    return begin


def chunks(readable: Readable, name: str, member: Member) -> Iterator[bytes]:
    """A member's bytes, in pieces of at most 1 MiB; after the last, size and CRC are right.

    Raises:
        DataError: they are not.
    """
    at = start(readable, name, member)
    left, done, crc = member.packed, 0, 0
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == DEFLATED else None
    waiting = b""
    while True:
        if not waiting and left:
            waiting = readable.read(at, min(left, CHUNK_BYTES), name)
            at, left = at + len(waiting), left - len(waiting)
        if inflater is None:
            data, waiting = waiting, b""
        else:
            try:
                data = inflater.decompress(waiting, CHUNK_BYTES)
            except zlib.error as error:
                raise readable.error(f"zip member {name} is damaged ({error})") from error
            waiting = inflater.unconsumed_tail
        done += len(data)
        if done > member.size:
            raise readable.error(
                f"zip member {name} is longer than it says", expected=f"{member.size:,} bytes"
            )
        crc = zlib.crc32(data, crc)
        if data:
            yield data
        elif (not left and not waiting) or (inflater is not None and inflater.eof):
            break
    ended = inflater is None or (inflater.eof and not inflater.unused_data and not left)
    if done != member.size or crc != member.crc or not ended:
        raise readable.error(
            f"zip member {name} is damaged",
            expected=f"{member.size:,} bytes of CRC-32 {member.crc:08x}",
            got=f"{done:,} of {crc:08x}",
        )


def read(readable: Readable, name: str, member: Member, limit: int) -> bytearray:
    """All of a member. Raises DataError when it is damaged, or longer than ``limit``."""
    if member.size > limit:
        raise readable.error(
            f"zip member {name} is too long",
            expected=f"at most {limit:,} bytes",
            got=f"{member.size:,}",
        )
    data = bytearray(member.size)
    done = 0
    for piece in chunks(readable, name, member):
        data[done : done + len(piece)] = piece
        done += len(piece)
    return data
