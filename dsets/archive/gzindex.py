"""Gzip entered in the middle: points from which inflating can begin, found once, then kept.

A point is the 32 KiB of history that deflate may refer to, and a place in the file, every SPACING
bytes: 0.0125 percent of what is inside. Bytes between two points cost inflating what is before
them, so whoever reads in ascending order inflates a file once. The index is ``indexed_gzip``'s
(zran).
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from dsets.archive import tarindex
from dsets.archive.gz import MAGIC, Damaged
from dsets.archive.stream import REMEDY
from dsets.archive.tarindex import Members
from dsets.closing import Closing
from dsets.errors import DataError

SPACING = 256 << 20
_FAILURES = (OSError, EOFError, ValueError, MemoryError)  # ZranError and CrcError are OSErrors


def compressed(path: Path) -> bool:
    """Whether a file's first bytes say gzip. Raises DataError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise DataError(f"cannot be opened ({error.strerror})", where=path) from error


class Walk:
    """The members of a compressed tar; once they are all read, ``points`` can be kept."""

    def __init__(self, path: Path, limit: int, *, remedy: str = REMEDY) -> None:
        self._path = path
        self._limit = limit
        self._remedy = remedy
        self._points = b""

    def __iter__(self) -> Iterator[Members]:
        """Offsets are those in the inflated archive, of at most ``limit`` bytes. Raises DataError
        as ``tarindex.inflated`` does."""
        made: list[_Inflater] = []

        def inflater(file: BinaryIO) -> _Inflater:
            made.append(_Inflater(file))
            return made[0]

        yield from tarindex.inflated(
            self._path, self._limit, remedy=self._remedy, inflater=inflater
        )
        self._points = made[0].points()

    @property
    def points(self) -> bytes:
        """What ``Inflated`` needs, in ``indexed_gzip``'s own format."""
        return self._points


class _Inflater:
    def __init__(self, file: BinaryIO) -> None:
        import indexed_gzip

        self._file: Any = indexed_gzip.IndexedGzipFile(
            fileobj=file, spacing=SPACING, readbuf_size=1 << 20, buffer_size=1 << 20
        )

    def read(self, size: int) -> bytes:
        try:
            return bytes(self._file.read(size))
        except _FAILURES as error:
            raise Damaged(f"damaged gzip data ({error})") from error

    def points(self) -> bytes:
        kept = io.BytesIO()
        self._file.export_index(fileobj=kept)
        return kept.getvalue()


class Inflated(Closing):
    """What is inside a gzip file, read by offset. Safe for threads, which take turns."""

    def __init__(self, path: Path, points: bytes, remedy: str) -> None:
        """Raises DataError when the file cannot be opened, or ``points`` are not its."""
        import indexed_gzip

        self.path = path
        self._remedy = remedy
        self._lock = threading.Lock()
        try:
            self._raw = path.open("rb")
        except OSError as error:
            raise self.error(f"cannot be opened ({error.strerror})") from error
        try:
            self._file: Any = indexed_gzip.IndexedGzipFile(
                fileobj=self._raw, spacing=SPACING, readbuf_size=1 << 20, buffer_size=1 << 16
            )
            self._file.import_index(fileobj=io.BytesIO(points))
        except _FAILURES as error:
            self._raw.close()
            raise self.error("its index is damaged", got=str(error)[:120]) from error

    def read(self, offset: int, size: int, what: str) -> bytes:
        """``size`` bytes, which are ``what``. Raises DataError when they are not all there."""
        try:
            with self._lock:
                self._file.seek(offset)
                data = bytes(self._file.read(size))
        except _FAILURES as error:
            raise self.error(f"{what} cannot be read", got=str(error)[:120]) from error
        if len(data) != size:
            raise self.error(
                f"cut short in {what}",
                expected=f"{size:,} bytes at {offset:,}",
                got=f"{len(data):,}",
            )
        return data

    def announce(self, offset: int, size: int) -> None:
        """Nothing: where these bytes lie in the file is not known."""

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        """A DataError about this file, for the caller to raise."""
        return DataError(what, where=self.path, expected=expected, got=got, remedy=self._remedy)

    def close(self) -> None:
        self._file.close()
        self._raw.close()
