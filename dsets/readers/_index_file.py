"""Columns that were dear to find, kept in a file of the store and opened by memory map.

    8 bytes    magic
    uint32     CRC-32C of header and columns
    uint32     length of the header
    header     JSON: key, facts, columns as [name, dtype, shape]
    columns    one after the other, each from a multiple of 64 bytes on; little-endian

``key`` says what the columns were made from. A file with another key, damaged or malformed in any
way is as good as none: whoever reads makes the columns again. Values are checked by their owner.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import google_crc32c
import numpy as np
import numpy.typing as npt

from dsets import atomic, locks, store
from dsets.manifest.schema import Source

Columns = Mapping[str, npt.NDArray[Any]]
T = TypeVar("T")

_MAGIC = b"dsetsix1"
_HEAD = struct.Struct("<8sII")
_ALIGNMENT = 64
_PIECE = 64 << 20  # bytes that are in memory at a time: pages are let go of once they are summed


class Kept(NamedTuple):
    """What a file held: ``facts`` as they were written, and read-only columns."""

    facts: dict[str, Any]
    columns: dict[str, npt.NDArray[Any]]


def path(source: Source, of: str = "") -> Path:
    """Where the columns of a split are kept, or those of one raw file of it."""
    manifest, split = source.manifest, source.split
    if of:  # whatever else the manifest says by now
        return store.index(manifest.name) / f"{split.name}-{of}.columns"
    return store.index(manifest.name) / f"{split.name}-{manifest.digest[:16]}.columns"


def opened(
    source: Source,
    read: Callable[[Path], T | None],
    make: Callable[[], T],
    write: Callable[[Path, T], None],
    *,
    of: str = "",
) -> T:
    """The index of a split, or of its file ``of``: read from where it is kept, or made now.

    Of several processes that need it one makes it, and the others wait for that.
    """
    target = path(source, of)
    if (found := read(target)) is not None:
        return found
    with ExitStack() as stack:
        with suppress(OSError):  # a store that cannot be written to still can be read from
            target.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locks.holding(target.parent, folder=True))
            if (found := read(target)) is not None:
                return found  # another process made it while we waited
        made = make()
        with suppress(OSError):
            write(target, made)
    return made


def identity(file: Path) -> list[Any]:
    """What tells whether a raw file is still the one that an index was made from."""
    with suppress(FileNotFoundError):
        status = file.stat()
        return [str(file.absolute()), status.st_ino, status.st_mtime_ns, status.st_size]
    return [str(file.absolute())]


def write(target: Path, key: object, facts: Mapping[str, Any], columns: Columns) -> None:
    """Write the file, whole or not at all. Raises OSError."""
    described = [[name, value.dtype.str, value.shape] for name, value in columns.items()]
    header = json.dumps({"key": key, "facts": dict(facts), "columns": described}).encode()
    header += b" " * (-(_HEAD.size + len(header)) % _ALIGNMENT)
    blocks = [np.frombuffer(header, np.uint8)]
    for value in columns.values():
        blocks.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
        blocks.append(np.zeros(-value.nbytes % _ALIGNMENT, np.uint8))
    crc = 0
    for block in blocks:
        for begin in range(0, len(block), _PIECE):
            crc = google_crc32c.extend(crc, block[begin : begin + _PIECE])
            _let_go(block)
    with atomic.sweeping(target) as part, part.open("wb") as file:
        file.write(_HEAD.pack(_MAGIC, crc, len(header)))
        for block in blocks:
            for begin in range(0, len(block), _PIECE):
                file.write(block[begin : begin + _PIECE].data)
                _let_go(block)


def read(target: Path, key: object, dtypes: Mapping[str, str]) -> Kept | None:
    """What ``write`` was given, or None: no file, another key, other columns, damage.

    ``dtypes`` has the columns that there may be, with their types.
    """
    try:
        data = np.memmap(target, np.uint8, "r") if target.is_file() else None
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
    if data is None or len(data) < _HEAD.size:
        return None
    magic, crc, length = _HEAD.unpack(bytes(data[: _HEAD.size]))
    start = _HEAD.size + length
    if magic != _MAGIC or start > len(data) or crc != _sum(data):
        return None
    try:
        header = json.loads(bytes(data[_HEAD.size : start]))
        if header["key"] != json.loads(json.dumps(key)):
            return None
        columns = {}
        for name, dtype, shape in header["columns"]:
            if dtypes[name] != dtype or not all(type(n) is int and n >= 0 for n in shape):
                return None
            column = np.ndarray(shape, dtype, data, start)  # TypeError beyond the end
            columns[name] = column
            start += column.nbytes + -column.nbytes % _ALIGNMENT
        return Kept(dict(header["facts"]), columns)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _sum(data: npt.NDArray[np.uint8]) -> int:
    """The CRC-32C of header and columns, a piece at a time."""
    crc = 0
    for begin in range(_HEAD.size, len(data), _PIECE):
        crc = google_crc32c.extend(crc, data[begin : begin + _PIECE])
        _let_go(data)
    return int(crc)


def _let_go(block: npt.NDArray[np.uint8]) -> None:
    """Take the pages of a mapped file out of this process; the system's cache keeps them.

    Else whoever limits a process's memory counts a file that was read once as all its own.
    """
    base: Any = block
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)
