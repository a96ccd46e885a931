"""Where the members of a zip lie in the file, and the bytes of one of them; never unpacked.

``directory`` reads where they lie. What a member inflates to is counted and its CRC compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from dsets.archive import directory
from dsets.archive.blobs import Blobs
from dsets.archive.directory import DEFLATED, LOCAL, STORED, Member, Readable
from dsets.archive.stream import CHUNK_BYTES, REMEDY
from dsets.errors import DataError

__all__ = [
    "DEFLATED",
    "STORED",
    "Member",
    "Readable",
    "alone",
    "chunks",
    "members",
    "read",
    "start",
]


def members(
    path: Path, *, start: int = 0, size: int | None = None, remedy: str = REMEDY
) -> dict[str, Member]:
    """Every file in the zip at ``path``, or in that which lies in these bytes of it, by name.

    Raises:
        DataError: it is no zip, damaged, cut short or hostile.
    """
    if not path.is_file():  # opening a pipe would wait for ever
        raise DataError("no such file", where=path, remedy=remedy)
    with Blobs(path, remedy) as blobs:
        whole = path.stat().st_size - start if size is None else size
        return directory.members(blobs, whole, start=start)


def start(readable: Readable, name: str, member: Member) -> int:
    """Where a member's data begin. Raises DataError when its own header denies what is known."""
    head = LOCAL.unpack(readable.read(member.header, LOCAL.size, f"the header of {name}"))
    begin = int(member.header + LOCAL.size + head[9] + head[10])
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


def alone(blobs: Blobs, name: str, member: Member, limit: int) -> bytes | DataError:
    """All of a member, or what is wrong with it and with no other, ``what`` in fixed words.

    Raises:
        DataError: the archive cannot be read up to the member's end.
    """
    try:
        return bytes(read(blobs, name, member, limit))
    except DataError as error:
        if member.size <= limit:
            blobs.read(member.end - 1, 1, name)
        found = DataError(error.what, expected=error.expected, got=error.got)
        return DataError("the zip member is damaged", where=blobs.path, got=found)
