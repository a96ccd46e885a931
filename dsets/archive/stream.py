"""A file's bytes, read once from front to back; inflated where its first bytes say gzip.

The name of a file proves nothing about its content, so nothing here looks at it. Whoever opens a
stream says how many bytes it may yield at most: a bomb costs no more time or memory than that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsets.archive.gz import MAGIC, Damaged, Inflater
from dsets.closing import Closing
from dsets.errors import CutError, DataError

REMEDY = "the file is not the published one: fetch it again"
MEMORY = "let this process have more memory: its limit (ulimit, a container's) is too low"
CHUNK_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 13


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a plain file that is a file itself: the archive ``name`` within an archive."""

    name: str
    start: int
    bytes: int


class Stream(Closing):
    """The bytes of the file ``path``, or of one ``section`` of it; at most ``limit`` of them.

    ``remedy`` ends every message about the file. ``sparsely`` is for whoever skips nearly all of
    it: what is asked for is read and nothing around it, so a header costs one page of memory.
    ``zlib`` says that what is no gzip is a zlib stream, of which no magic number tells.

    Raises:
        DataError: there is no such file, it cannot be opened, or it holds no bytes at all.
    """

    def __init__(
        self,
        path: Path,
        limit: int,
        *,
        remedy: str = REMEDY,
        section: Section | None = None,
        sparsely: bool = False,
        zlib: bool = False,
    ) -> None:
        self.path = path
        self.where = f"{path}: {section.name}" if section else str(path)
        self.limit = limit
        self.offset = 0
        self.remedy = remedy
        if not path.is_file():  # opening a pipe would wait for ever
            raise self.error("no such file")
        try:
            self._file: Any = path.open("rb", buffering=0 if sparsely else _BUFFER_BYTES)
        except OSError as error:
            raise self.error(f"cannot be opened ({error.strerror})") from error
        start = self._start = section.start if section else 0
        there = max(0, os.fstat(self._file.fileno()).st_size - start)
        self._file.seek(start)
        head = self._file.read(min(len(MAGIC), section.bytes if section else len(MAGIC)))
        self._file.seek(start)
        self.gzip = head == MAGIC and section is None
        compression = "gzip" if self.gzip else "zlib" if zlib else ""
        self._inflater = Inflater(self._file, compression) if compression else None
        self._left = min(there, section.bytes) if section else there  # of what is not inflated
        self._ahead = b""
        if not head:
            self.close()
            raise self.error("empty file")

    @property
    def identity(self) -> tuple[str, int, int, int]:
        """What tells whether the file of this name is still the one that was opened here."""
        status = os.fstat(self._file.fileno())
        return str(self.path.absolute()), status.st_ino, status.st_mtime_ns, status.st_size

    def read(self, size: int) -> bytes:
        """From 1 to ``size`` bytes; none only at the end.

        Raises:
            DataError: the data are damaged, or there are more than ``limit`` bytes.
        """
        # One byte over the limit may be asked for, to tell a file that ends there from a bomb.
        data = self._next(min(size, self.limit - self.offset + 1))
        if len(data) > self.limit - self.offset:
            raise self.error(
                "the file holds too much", expected=f"at most {self.limit:,} bytes", got="more"
            )
        self.offset += len(data)
        return data

    def exactly(self, size: int, what: str) -> bytearray:
        """``size`` bytes, which are ``what``.

        The caller has bounded ``size``; the stream refuses one that goes beyond its limit before
        it takes any memory.

        Raises:
            DataError: the file ends first.
        """
        if size > self.limit - self.offset:
            self.ends_before(size, what)
            raise self.error(
                f"{what} would be too long",
                expected=f"at most {self.limit - self.offset:,} bytes",
                got=f"{size:,}",
            )
        data = bytearray(size)
        start = self.read(size) if 0 < size <= _BUFFER_BYTES else b""
        if len(start) == size:
            return bytearray(start)  # a header as a rule: there are millions
        data[: len(start)] = start
        self._fill(memoryview(data), len(start), what)
        return data

    def ends_before(self, size: int, what: str) -> None:
        """Raise DataError where not the limit but the end of a plain file is in the way."""
        there = self._left + len(self._ahead)
        if self._inflater is None and there == self.limit - self.offset < size:
            raise self.cut(what, size, there)

    def fill(self, view: memoryview, what: str) -> None:
        """Read ``what`` into ``view``, a contiguous view of bytes, to its last byte.

        Raises:
            DataError: the file ends first.
        """
        self._fill(view, 0, what)

    def _fill(self, view: memoryview, done: int, what: str) -> None:
        while done < len(view):
            data = self.read(min(len(view) - done, CHUNK_BYTES))
            if not data:
                raise self.cut(what, len(view), done)
            view[done : done + len(data)] = data
            done += len(data)

    def skip(self, size: int, what: str) -> None:
        """Pass over ``size`` bytes, without reading them where that is possible.

        Raises:
            DataError: the file ends first.
        """
        further = size - len(self._ahead)
        if self._inflater is not None or further <= 0 or size > self.limit - self.offset:
            for _ in self.chunks(size, what):
                pass
            return
        if further > self._left:
            left = self._left + len(self._ahead)
            raise self.cut(what, size, left)
        self._file.seek(further, os.SEEK_CUR)
        self._ahead = b""
        self._left -= further
        self.offset += size

    def announce(self, offset: int, size: int) -> None:
        """Have the system fetch these bytes of a plain file, without waiting for them."""
        if hasattr(os, "posix_fadvise") and not self.gzip:
            at = self._start + offset
            os.posix_fadvise(self._file.fileno(), at, size, os.POSIX_FADV_WILLNEED)

    def chunks(self, size: int, what: str) -> Iterator[bytes]:
        """The next ``size`` bytes in pieces. Raises DataError when the file ends first."""
        left = size
        while left:
            data = self.read(min(left, CHUNK_BYTES))
            if not data:
                raise self.cut(what, size, size - left)
            left -= len(data)
            yield data

    def finish(self) -> None:
        """Prove that the file ends here. For gzip this is what checks the CRC of the last bytes.

        Raises:
            DataError: more bytes follow, or the CRC or length is wrong.
        """
        self.limit = self.offset
        if self._next(1):
            raise self.error(
                "more bytes than there should be", expected=f"{self.offset:,}", got="more"
            )

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, or as many as there are, still to be read."""
        while len(self._ahead) < size and (data := self._pull(size - len(self._ahead))):
            self._ahead += data
        return self._ahead[:size]

    def _next(self, size: int) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return self._pull(size)

    def _pull(self, size: int) -> bytes:
        if self._inflater is None:
            data: bytes = self._file.read(min(size, self._left))
            self._left -= len(data)
            return data
        try:
            return self._inflater.read(size)
        except Damaged as error:
            raise self.error(str(error)) from error
        except MemoryError as error:
            raise DataError(
                "not enough memory to inflate it", where=self.where, remedy=MEMORY
            ) from error

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        """A DataError about this file, for the caller to raise."""
        return DataError(what, where=self.where, expected=expected, got=got, remedy=self.remedy)

    def cut(self, what: str, size: int, there: int) -> CutError:
        """The error that the file ends within ``what``, of which only a beginning is there."""
        expected, got = f"{size:,} bytes", f"{there:,}"
        return CutError(
            f"cut short in {what}",
            where=self.where,
            expected=expected,
            got=got,
            remedy=self.remedy,
        )

    def close(self) -> None:
        self._file.close()


def excerpt(data: bytes | bytearray) -> str:
    """How a message shows bytes that are not what they should be, and what they look like."""
    return f"{bytes(data[:16])!r}{guess(data)}"


def guess(data: bytes | bytearray) -> str:
    """What a message adds about the first bytes of a file; nothing as a rule."""
    looks = bytes(data[:16]).lstrip().lower()
    page = looks.startswith((b"<!doctype", b"<html", b"<?xml", b"<head"))
    return " (a web page saved in its place?)" if page else ""
