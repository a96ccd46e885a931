"""Bytes at known places of a raw file."""

from __future__ import annotations

import os
from pathlib import Path

from dsets.closing import Closing
from dsets.errors import CutError, DataError


class Blobs(Closing):
    """A file, read by offset; each reading process or thread opens its own."""

    def __init__(self, path: Path, remedy: str) -> None:
        """Raises DataError when it cannot be opened."""
        self.path = path
        self._remedy = remedy
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DataError(
                f"cannot be opened ({error.strerror})", where=path, remedy=remedy
            ) from error

    def read(self, offset: int, size: int, what: str) -> bytes:
        """``size`` bytes, which are ``what``. Raises DataError when they are not all there."""
        try:
            data = os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise self.error(f"{what} cannot be read ({error.strerror})") from error
        if len(data) != size:
            raise CutError(
                f"cut short in {what}",
                where=self.path,
                expected=f"{size:,} bytes at {offset:,}",
                got=f"{len(data):,}",
                remedy=self._remedy,
            )
        return data

    def announce(self, offset: int, size: int) -> None:
        """Tell the kernel what will be read soon."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, offset, size, os.POSIX_FADV_WILLNEED)

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        """A DataError about this file, for the caller to raise."""
        return DataError(what, where=self.path, expected=expected, got=got, remedy=self._remedy)

    def close(self) -> None:
        os.close(self._descriptor)
