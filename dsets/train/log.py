"""A log of JSON lines that can be cut back to where a checkpoint saw it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsets.closing import Closing
from dsets.errors import TrainError


class Log(Closing):
    """Lines appended to the file at ``path``, which is first cut to ``length`` bytes if given.

    Raises:
        TrainError: the file is shorter than that, so lines that we wrote are gone.
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
        self._file = path.open("ab")
        if length is not None:
            self._file.truncate(length)
            self._file.seek(length)

    @property
    def length(self) -> int:
        """Bytes in the file."""
        return self._file.tell()

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line; it survives our death from here on, though not yet the machine's.

        Not-a-number has no place in JSON and raises ValueError.
        """
        self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._file.flush()

    def commit(self) -> int:
        """Force the lines to the disk; the log's length in bytes."""
        os.fsync(self._file.fileno())
        return self.length

    def close(self) -> None:
        self._file.close()
