"""A log of JSON lines that can be cut back to where a checkpoint saw it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsets.closing import Closing
from dsets.errors import TrainError
from dsets.train.writing import unwritten


class Log(Closing):
    """Lines appended to the file at ``path``, which is first cut to ``length`` bytes if given, or
    else to its whole lines.

    Raises:
        TrainError: the file is shorter than that, so lines that we wrote are gone, or has no end of
            a line there, so it has others; or it cannot be written to.
    """

    def __init__(self, path: Path, length: int | None = None) -> None:
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
            if length and _whole(path, length) != length:
                self._file.close()
                raise TrainError(
                    "the log is not the one that its checkpoint saw",
                    where=path,
                    expected=f"the end of a line at {length} bytes",
                    remedy="put it back, or give another --out to start from the beginning",
                )
            if length is None:
                length = _whole(path, there)
            if length != there:
                self._file.truncate(length)
            self._file.seek(length)

    @property
    def length(self) -> int:
        """Bytes in the file."""
        return self._file.tell()

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line; it survives our death from here on, though not yet the machine's.

        Not-a-number has no place in JSON and raises ValueError.

        Raises:
            TrainError: it cannot be written, as where the disk is full.
        """
        rest = memoryview(json.dumps(line, allow_nan=False).encode() + b"\n")
        with self._telling():
            while rest:  # a disk that has room for half a line says so at the next half
                rest = rest[self._file.write(rest) :]

    def commit(self) -> int:
        """Force the lines to the disk; the log's length in bytes.

        Raises:
            TrainError: the disk has no room for them, or fails.
        """
        with self._telling():
            os.fsync(self._file.fileno())
        return self.length

    def close(self) -> None:
        self._file.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritten("the log", self._path, error) from error


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
