"""The bytes of pictures, read at their offsets.

Each call has descriptors of its own and shares nothing with others, so threads and forked or
spawned processes read side by side. The rows are taken in windows: within one, reads go in the
order of the disk, and the kernel is told of the next window before the samples of this one are
handed out.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsets.archive import zipindex
from dsets.archive.gz import MAGIC, Damaged, Inflater
from dsets.errors import DataError
from dsets.manifest.schema import Source
from dsets.readers import _imagenet_scan, _listing
from dsets.readers._imagenet_index import Index
from dsets.readers._imagenet_options import Options

WINDOW_ROWS = 128
WINDOW_BYTES = 32 << 20
#: What reading one loose file may fail with because of that file; anything else (too many open
#: files, no memory, a server that is gone) would fail for the next one, too.
_OF_THE_FILE = {
    errno.EACCES,
    errno.EINVAL,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
}
_ZIP_HEADER_BYTES = 30 + 2 * 65535  # before a member's data, at most
_OPEN = 64  # descriptors kept open at most, of a listing's archives


class Picture(NamedTuple):
    """The bytes of one row's picture; ``problem`` says why they are not to be used, if so."""

    row: int
    data: bytes
    problem: DataError | None


def read(
    source: Source, options: Options, index: Index, rows: npt.NDArray[np.int64]
) -> Iterator[Picture]:
    """Each of the rows with its picture's bytes, in the order asked for.

    Raises:
        DataError: an archive, or the folder of a listing, has gone or is cut short.
    """
    files = _Files(source, options, index)
    with ExitStack() as stack:
        stack.callback(files.close)
        ahead: npt.NDArray[np.int64] | None = None
        for window in _windows(index, rows):
            files.announce(window)
            if ahead is not None:
                yield from files.window(ahead)
            ahead = window
        if ahead is not None:
            yield from files.window(ahead)


def _windows(index: Index, rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """The rows, some at a time: a bounded number, and of more than one a bounded size."""
    start = 0
    while start < len(rows):
        sizes = index.columns["bytes"][rows[start : start + WINDOW_ROWS]]
        fitting = int(np.searchsorted(np.cumsum(sizes), WINDOW_BYTES, "right"))
        window = rows[start : start + max(1, fitting)]
        yield window
        start += len(window)


def _plain(picture: Picture) -> Picture:
    """The picture without the gzip that it was published in, if it is whole and not too large."""
    if picture.problem or picture.data[:2] != MAGIC:
        return picture
    limit = _imagenet_scan.PICTURE_BYTES
    inflater = Inflater(io.BytesIO(picture.data))
    inside = bytearray()
    try:
        while len(inside) <= limit and (piece := inflater.read(1 << 20)):
            inside += piece
    except Damaged:
        return picture
    return picture if len(inside) > limit else Picture(picture.row, bytes(inside), None)


class _Held(NamedTuple):
    """A piece of a file that is in memory, from ``start`` on."""

    path: Path
    start: int
    data: bytes

    def read(self, offset: int, size: int, what: str) -> bytes:
        found = self.data[offset - self.start : offset - self.start + size]
        if len(found) != size:
            raise self.error(f"cut short in {what}")
        return found

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        return DataError(what, where=self.path, expected=expected, got=got)


class _Files:
    """The files that hold pictures, opened as they are needed."""

    def __init__(self, source: Source, options: Options, index: Index) -> None:
        self._path = source.path(options.images)
        self._listed = options.layout == "listing"
        self._folder = _listing.folder(self._path) if self._listed else self._path
        self._patches = source.path(options.patches) if options.patches else self._path
        self._index = index
        self._open: dict[Path, int] = {}

    def announce(self, rows: npt.NDArray[np.int64]) -> None:
        """Tell the kernel what will be read soon."""
        if self._listed or not hasattr(os, "posix_fadvise"):
            return
        columns = self._index.columns
        rows = rows[columns["bytes"][rows] < _imagenet_scan.TOO_LARGE]
        order = np.argsort(columns["offset"][rows])
        for row in rows[order].tolist():
            descriptor = self._descriptor(self._archive(row))
            offset, size = int(columns["offset"][row]), int(columns["bytes"][row])
            if "zipped" in columns:
                size = int(columns["zipped"][row, 0]) - offset
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_WILLNEED)

    def _archive(self, row: int) -> Path:
        """Which archive has a picture of an archive: the patches, if they have it."""
        patched = self._index.columns.get("patched")
        return self._path if patched is None or not patched[row] else self._patches

    def window(self, rows: npt.NDArray[np.int64]) -> Iterator[Picture]:
        columns = self._index.columns
        order = np.lexsort((columns["offset"][rows], columns["place"][rows]))
        found: dict[int, Picture] = {}
        for position in order.tolist():
            found[position] = _plain(self._picture(int(rows[position])))
        yield from (found[position] for position in range(len(rows)))

    def _picture(self, row: int) -> Picture:
        columns = self._index.columns
        offset, size = int(columns["offset"][row]), int(columns["bytes"][row])
        place = self._index.places[columns["place"][row]]
        if size == _imagenet_scan.TOO_LARGE:
            limit = f"at most {_imagenet_scan.PICTURE_BYTES} bytes"
            return Picture(row, b"", DataError("picture file too large", expected=limit))
        if "zipped" in columns:
            return self._unzipped(row, offset, size)
        if not self._listed or ("patched" in columns and columns["patched"][row]):
            return Picture(row, self._at(self._archive(row), offset, size, row), None)
        if offset:
            return Picture(row, self._at(self._folder / place, offset, size, row), None)
        suffix = self._index.suffixes[columns["suffix"][row]]
        path = self._folder / place / f"{self._key(row)}{suffix}"
        data = self._loose(path, size + 1)
        if data is None:
            return Picture(row, b"", DataError("the file is missing or cannot be read"))
        if hashlib.sha256(data).digest() != columns["sha256"][row].tobytes():
            return Picture(row, data, DataError("not the bytes that were adopted"))
        return Picture(row, data, None)

    def _unzipped(self, row: int, offset: int, size: int) -> Picture:
        """A zip's member. What is damaged is a problem of this picture alone."""
        end, packed, crc, method = self._index.columns["zipped"][row].tolist()
        there = min(end - offset, packed + _ZIP_HEADER_BYTES)
        held = _Held(self._path, offset, self._at(self._path, offset, there, row))
        member = zipindex.Member(offset, end, packed, size, crc, method)
        try:
            data = zipindex.read(held, self._key(row), member, _imagenet_scan.PICTURE_BYTES)
        except DataError:
            return Picture(row, b"", DataError("the zip member is damaged"))
        return Picture(row, bytes(data), None)

    def _loose(self, path: Path, limit: int) -> bytes | None:
        """At most ``limit`` bytes of a loose file; None if there is no such readable file."""
        try:
            with _listing.opened(path) as file:
                return file.read(limit)
        except OSError as error:
            if error.errno in _OF_THE_FILE and self._folder.is_dir():
                return None
            where = path if self._folder.is_dir() else self._folder
            raise DataError(
                f"cannot be read ({error.strerror})", where=where, remedy="adopt the folder again"
            ) from error

    def _at(self, path: Path, offset: int, size: int, row: int) -> bytes:
        try:
            data = os.pread(self._descriptor(path), size, offset)
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", where=path) from error
        if len(data) != size:
            raise DataError(
                f"cut short in {self._key(row)}",
                where=path,
                expected=f"{size:,} bytes at {offset:,}",
                got=f"{len(data):,}",
            )
        return data

    def _descriptor(self, path: Path) -> int:
        if path not in self._open:
            if len(self._open) == _OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            try:
                self._open[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise DataError(f"cannot be opened ({error.strerror})", where=path) from error
        return self._open[path]

    def _key(self, row: int) -> str:
        return self._index.key(row)

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
