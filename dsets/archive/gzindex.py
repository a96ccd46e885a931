"""Gzip entered in the middle: points from which inflating can begin, found once, then kept.

A point is the 32 KiB of history that deflate may refer to, and a place in the file, every SPACING
bytes: 0.1 percent of what is inside. Bytes between two points cost inflating what is before them;
whoever reads in ascending order inflates a file once, since inflating goes on where it was.

The points are ``indexed_gzip``'s (zran), in its own format. Reading is zlib's: zran begins every
read at a point anew, with a buffer of four spacings.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from dsets.archive.gz import MAGIC, Damaged, Inflater
from dsets.archive.stream import CHUNK_BYTES, MEMORY
from dsets.closing import Closing
from dsets.errors import DataError

SPACING = 32 << 20  # zran wants 4 of them as a buffer, and all points in memory: 176 MiB for 49 GB
_FAILURES = (OSError, EOFError, ValueError, MemoryError)  # ZranError and CrcError are OSErrors
_HEAD = struct.Struct("<5sBBQQIII")  # magic, version, flags, both sizes, spacing, window, points
_POINT = np.dtype([("at", "<u8"), ("offset", "<u8"), ("bits", "u1"), ("windowed", "u1")])
_WINDOW = 1 << 15
_TRAILER = 8  # bytes of CRC-32 and length after deflate's last block

# A point may lie within a byte, and zlib's Python interface takes whole ones. So the bits of that
# byte that are before the point are made the end of blocks that hold nothing: one with fixed codes
# has 10 bits, this one, with codes of its own, 95. Some of them end at any bit of a byte.
_FIXED, _FIXED_BITS = 0b10, 10
_OWN, _OWN_BITS = int.from_bytes(bytes.fromhex("04c001090000000090ffab13"), "little"), 95


def compressed(path: Path) -> bool:
    """Whether a file's first bytes say gzip. Raises DataError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise DataError(f"cannot be opened ({error.strerror})", where=path) from error


def points(path: Path, out: int) -> int:
    """Write the points of a gzip file, which is known to be sound, to the descriptor ``out``.

    They are in memory meanwhile. How many bytes they are is returned.

    Raises:
        DataError: there is not enough memory, or the file was changed.
    """
    import indexed_gzip

    try:
        with path.open("rb") as raw, open(out, "wb", closefd=False) as kept:
            before = kept.tell()
            file: Any = indexed_gzip.IndexedGzipFile(
                fileobj=raw, spacing=SPACING, readbuf_size=1 << 20, buffer_size=1 << 16
            )
            with file:
                file.build_full_index()
                file.export_index(fileobj=kept)
            return kept.tell() - before
    except _FAILURES as error:  # zran says of memory that it lacks what it says of damage
        raise DataError(
            "it is sound, and where it can be entered could not be kept",
            where=path,
            got=str(error)[:120] or type(error).__name__,
            remedy=MEMORY,
        ) from error


class _Point(NamedTuple):
    """``at``: the first whole byte of the file; before it are ``bits`` bits more that count."""

    at: int
    offset: int
    bits: int
    window: bytes


class _Points:
    """Those of a file, of which only what is asked for is looked at."""

    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        """Raises ValueError when the bytes are not what ``points`` writes."""
        if len(data) < _HEAD.size:
            raise ValueError("too short")
        magic, version, _, _, _, _, window, count = _HEAD.unpack(data[: _HEAD.size].tobytes())
        end = _HEAD.size + count * _POINT.itemsize
        if (magic, version, window) != (b"GZIDX", 1, _WINDOW) or end > len(data):
            raise ValueError("not such an index")
        self._table = np.frombuffer(data[_HEAD.size : end].tobytes(), _POINT)
        self._places = end + _WINDOW * (np.cumsum(self._table["windowed"], dtype=np.int64) - 1)
        self._data = data
        windows = int(np.count_nonzero(self._table["windowed"]))
        good = (np.diff(self._table["offset"].astype(np.int64)) >= 0).all()
        good = good and (self._table["windowed"] <= 1).all() and (self._table["bits"] < 8).all()
        if not good or end + windows * _WINDOW != len(data):
            raise ValueError("not such an index")

    def before(self, offset: int) -> _Point | None:
        """The last at or before ``offset``; None for the file's beginning."""
        row = int(np.searchsorted(self._table["offset"], offset, "right")) - 1
        if row < 0 or not self._table["offset"][row]:
            return None
        at, where, bits, windowed = self._table[row].tolist()
        place = int(self._places[row])
        window = self._data[place : place + _WINDOW].tobytes() if windowed else b""
        return _Point(at, where, bits, window)


class _Entered(Inflater):
    """The bytes inside a gzip file from a point on, in order."""

    _file: BinaryIO

    def __init__(self, file: BinaryIO, point: _Point) -> None:
        super().__init__(file)
        zdict = {"zdict": point.window} if point.window else {}
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS, **zdict)
        self._bare = True  # without the member's head, and so without its trailer
        file.seek(point.at - (point.bits > 0))
        self._input = _led(file.read(1), point.bits) if point.bits else b""

    def _next_member(self) -> None:
        if self._bare:
            self._bare = False
            self._file.seek(_TRAILER - len(self._inflate.unused_data), os.SEEK_CUR)
            self._inflate = zlib.decompressobj()  # it has left nothing over
        super()._next_member()


def _led(byte: bytes, bits: int) -> bytes:
    """Empty blocks that end where the last ``bits`` bits of the byte begin, and these."""
    before = 8 - bits
    value, count = (_OWN, _OWN_BITS) if before % 2 else (0, 0)
    while count % 8 != before:
        value, count = value | _FIXED << count, count + _FIXED_BITS
    value |= byte[0] >> before << count
    return value.to_bytes((count + bits) // 8, "little")


class Inflated(Closing):
    """What is inside a gzip file, read by offset. Safe for threads, which take turns."""

    def __init__(self, path: Path, points: npt.NDArray[np.uint8], remedy: str) -> None:
        """Raises DataError when the file cannot be opened, or ``points`` are not its."""
        self.path = path
        self._remedy = remedy
        self._lock = threading.Lock()
        self._inflater: Inflater | None = None
        self._at = 0
        try:
            self._points = _Points(points)
        except ValueError as error:
            raise self.error("its index is damaged", got=str(error)) from error
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise self.error(f"cannot be opened ({error.strerror})") from error

    def read(self, offset: int, size: int, what: str) -> bytes:
        """``size`` bytes, which are ``what``. Raises DataError when they are not all there."""
        data = bytearray()
        try:
            with self._lock:
                inflater = self._seek(offset)
                while len(data) < size and (piece := self._next(inflater, size - len(data))):
                    data += piece
        except MemoryError as error:
            raise DataError(
                f"not enough memory for {what}", where=self.path, remedy=MEMORY
            ) from error
        except (Damaged, OSError) as error:
            raise self.error(f"{what} cannot be read", got=str(error)[:120]) from error
        if len(data) != size:
            raise self.error(
                f"cut short in {what}",
                expected=f"{size:,} bytes at {offset:,}",
                got=f"{len(data):,}",
            )
        return bytes(data)

    def _seek(self, offset: int) -> Inflater:
        """Have ``offset`` come next: from where inflating is, or a point that is nearer."""
        point = self._points.before(offset)
        begin = point.offset if point else 0
        inflater = self._inflater
        if inflater is None or not begin <= self._at <= offset:
            self._inflater = None
            self._file.seek(0)
            inflater = _Entered(self._file, point) if point else Inflater(self._file)
            self._inflater, self._at = inflater, begin
        while self._at < offset and self._next(inflater, offset - self._at):
            pass
        return inflater

    def _next(self, inflater: Inflater, size: int) -> bytes:
        try:
            data = inflater.read(min(size, CHUNK_BYTES))
        except BaseException:
            self._inflater = None  # it may be anywhere
            raise
        self._at += len(data)
        return data

    def announce(self, offset: int, size: int) -> None:
        """Nothing: where these bytes lie in the file is not known."""

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        """A DataError about this file, for the caller to raise."""
        return DataError(what, where=self.path, expected=expected, got=got, remedy=self._remedy)

    def close(self) -> None:
        self._file.close()
