"""Records of many samples, put in the samples' order on disk: more of them than memory holds.

Records go to one of a few files by their sample's number, and each file, which memory does hold, is
sorted by itself: an external bucket sort. The files have no names, so a killed process leaves none.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

BUCKET_BYTES = 16 << 20  # of records, as far as they spread evenly
BUCKETS = 128
_COPY = 1 << 18  # records that are copied at a time


class Grouped:
    """Takes records of the structured type ``dtype``, whose first field ``row`` is the number of
    their sample, of ``rows``; ``bytes`` is about what all of them take, and ``folder`` a place on
    disk (None: the system's).

    Memory: two buckets and whatever is handed in.
    """

    def __init__(self, dtype: npt.DTypeLike, rows: int, bytes: int, folder: Path | None) -> None:
        self._dtype = np.dtype(dtype)
        self._rows = rows
        self._folder = folder
        count = max(1, min(BUCKETS, bytes // BUCKET_BYTES + 1, rows))
        self._width = -(-rows // count)
        self._stack = ExitStack()
        self._buckets = [self._file() for _ in range(count)]
        self._counts = np.zeros(rows, np.int64)

    def add(self, records: npt.NDArray[Any]) -> None:
        """Take records, which may be in any order; of one sample they keep it."""
        self._counts += np.bincount(records["row"], minlength=self._rows)
        bucket = records["row"] // self._width
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(len(self._buckets) + 1))
        for number, file in enumerate(self._buckets):
            if ends[number] < ends[number + 1]:
                file.write(records[order[ends[number] : ends[number + 1]]].data)

    def finish(self) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
        """int64 (rows,), where each sample's records end, and the other fields as columns.

        The columns are mapped, and their files vanish with them.
        """
        fields = [name for name in self._dtype.names or () if name != "row"]
        outs = {name: self._file() for name in fields}
        total = 0
        for file in self._buckets:
            file.seek(0)
            records = np.frombuffer(file.read(), self._dtype)
            file.truncate(0)
            order = np.argsort(records["row"], kind="stable")
            total += len(records)
            for start in range(0, len(records), _COPY):
                some = records[order[start : start + _COPY]]
                for name, out in outs.items():
                    out.write(np.ascontiguousarray(some[name]).reshape(-1).view(np.uint8).data)
        columns = {}
        for name, out in outs.items():
            out.flush()
            dtype, shape = self._dtype[name].base, self._dtype[name].shape
            columns[name] = (
                np.memmap(out, dtype, "r", shape=(total, *shape))
                if total
                else np.empty((0, *shape), dtype)
            )
        self.close()
        return np.cumsum(self._counts), columns

    def close(self) -> None:
        """Let go of everything that was not mapped."""
        self._stack.close()

    def _file(self) -> IO[bytes]:
        return self._stack.enter_context(tempfile.TemporaryFile(dir=self._folder))
