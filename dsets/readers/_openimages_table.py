"""A table of annotations as a stream of bytes: a CSV file, gzipped or not, or one in an archive.

The first releases published archives of the tables of all splits, each in the folder of its split:
``2017_11/train/annotations-human-bbox.csv``. They are read as they are, from front to back.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from dsets.archive import tar
from dsets.archive.gz import MAGIC
from dsets.archive.stream import CHUNK_BYTES, Stream
from dsets.errors import DataError
from dsets.readers._openimages_lines import REMEDY

#: No archive of tables inflates to more; a hostile one may go on for ever.
TABLE_BYTES = 1 << 37
_INFLATED = 8  # times the bytes of a compressed table, about
_SHOWN = 5  # names of an archive's members in a message


class Table:
    """The file ``path``, or in an archive the CSV file in the folder that is called ``split``."""

    def __init__(self, path: Path, split: str) -> None:
        self.path = path
        self._split = split
        self._member = ""

    @property
    def where(self) -> str:
        """For messages: the file, and once it was opened its name in an archive."""
        return f"{self.path}: {self._member}" if self._member else str(self.path)

    @property
    def size(self) -> int:
        """About what there is to read; 0 where there is no such file."""
        if not self.path.is_file():
            return 0
        return self.path.stat().st_size * (_INFLATED if self._packed() == MAGIC else 1)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The table's bytes from the first on.

        Raises:
            DataError: it cannot be opened, or the archive is damaged, hostile, or has no table of
                the split, or two.
        """
        if self._packed():
            with Stream(self.path, TABLE_BYTES, remedy=REMEDY) as stream:
                yield io.BufferedReader(_Pieces(self._pieces(stream)), CHUNK_BYTES)
            return
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise DataError(f"cannot be opened ({error.strerror})", where=self.path) from error
        with file:
            yield file

    def _packed(self) -> bytes:
        """What tells that the file is not the table itself: gzip's magic, or a tar's header."""
        try:
            with self.path.open("rb") as file:
                head = file.read(tar.BLOCK_BYTES)
        except OSError as error:
            raise DataError(f"cannot be opened ({error.strerror})", where=self.path) from error
        if head.startswith(MAGIC):
            return MAGIC
        return head if tar.looks_like(head) else b""

    def _pieces(self, stream: Stream) -> Iterator[bytes]:
        if not tar.looks_like(stream.peek(tar.BLOCK_BYTES)):
            while data := stream.read(CHUNK_BYTES):
                yield data
            return
        found, others = "", []
        for entry, body in tar.walk(stream):  # to its end, which proves it whole
            name = PurePosixPath(entry.name)
            if name.suffix.lower() != ".csv" or name.name.startswith("."):
                continue
            if name.parent.name.lower() != self._split.lower():
                others.append(entry.name)
            elif found:
                raise stream.error(
                    f"two tables of {self._split}", expected="one", got=f"{found}, {entry.name}"
                )
            else:
                found = self._member = entry.name
                yield from body.chunks()
        if not found:
            raise stream.error(
                f"no table of {self._split}",
                expected=f"a name like {self._split}/….csv",
                got=", ".join(others[:_SHOWN]) or "no CSV file at all",
            )


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        while not self._ahead:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._ahead = piece
        size = min(len(buffer), len(self._ahead))
        buffer[:size] = self._ahead[:size]
        self._ahead = self._ahead[size:]
        return size
