"""A log of JSON lines that can be cut back to where a checkpoint saw it.

A checkpoint keeps length and sha256 of the lines behind it, so lines that were lost, or are others
now, are noticed before any is added to them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsets.closing import Closing
from dsets.errors import TrainError
from dsets.train.writing import unwritten

#: The digest of a log without lines.
NOTHING = hashlib.sha256().hexdigest()


class Log(Closing):
    """Lines appended to the file at ``path``, which is first cut to ``length`` bytes if given, of
    which ``sha256`` is the digest, or else to its whole lines.

    Raises:
        TrainError: the file is shorter than that, so lines that we wrote are gone, or begins with
            other bytes; or it cannot be written to.
    """

    def __init__(self, path: Path, length: int | None = None, sha256: str = NOTHING) -> None:
        there = path.stat().st_size if path.exists() else 0
        if length is not None and there < length:
            raise TrainError(
                "the log is shorter than its checkpoint says",
                where=path,
                expected=f"{length} bytes or more",
                got=there,
                remedy="put it back, or give another --out to start from the beginning",
            )
        self._path = path
        with self._telling():
            # Without a buffer: what a full disk refused comes with no later line.
            self._file = path.open("ab", buffering=0)
            self._digest = hashlib.sha256()
            if length is None:
                length = _whole(path, there)
            else:
                self._digest = digest(path, length)
                if (found := self._digest.hexdigest()) != sha256:
                    self._file.close()
                    raise TrainError(
                        "the log is not the one that its checkpoint saw",
                        where=path,
                        expected=f"sha256 {sha256} of its first {length} bytes",
                        got=found,
                        remedy="put it back, or give another --out to start from the beginning",
                    )
            if length != there:
                self._file.truncate(length)
            self._file.seek(length)

    @property
    def length(self) -> int:
        """Bytes in the file."""
        return self._file.tell()

    @property
    def sha256(self) -> str:
        """The digest of a log that was opened with a length; of any other, of what was added."""
        return self._digest.hexdigest()

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line; it survives our death from here on, though not yet the machine's.

        Not-a-number has no place in JSON and raises ValueError.

        Raises:
            TrainError: it cannot be written, as where the disk is full.
        """
        rest = memoryview(json.dumps(line, allow_nan=False).encode() + b"\n")
        with self._telling():
            while rest:  # a disk that has room for half a line says so at the next half
                count = self._file.write(rest)
                self._digest.update(rest[:count])
                rest = rest[count:]

    def commit(self) -> tuple[int, str]:
        """Force the lines to the disk; the log's length in bytes, and its ``sha256``.

        Raises:
            TrainError: the disk has no room for them, or fails.
        """
        with self._telling():
            os.fsync(self._file.fileno())
        return self.length, self.sha256

    def close(self) -> None:
        self._file.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritten("the log", self._path, error) from error


def digest(path: Path, length: int) -> Any:
    """The running sha256 of the file's first bytes."""
    running = hashlib.sha256()
    with path.open("rb") as file:
        while length and (read := file.read(min(length, 65536))):
            running.update(read)
            length -= len(read)
    return running


def _whole(path: Path, size: int) -> int:
    """The length of the file's whole lines: a full disk or a kill may have cut the last one."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        end = size
        while end:
            begin = max(0, end - 65536)
            file.seek(begin)
            last = file.read(end - begin).rfind(b"\n")
            if last >= 0:
                return begin + last + 1
            end = begin
    return 0
