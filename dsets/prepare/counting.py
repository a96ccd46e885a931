"""The statistics of a column, counted some rows at a time while others are still made."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from dsets.pack.statistics import Statistics

#: Bytes of pixels that wait to be counted together; few at a time would cost more.
COUNTED_BYTES = 1 << 24


class Counting:
    """What has been counted of one shard, and what waits for it; for any threads.

    ``column`` has the images, uint8 (H, W, C), of a row each: one array (n, H, W, C), or a list.
    Of one of encoded images it is only told their pixels.
    """

    def __init__(self, column: np.ndarray | list[np.ndarray], field: str) -> None:
        self._column, self._field = column, field
        self._lock = threading.Lock()
        self._waiting: list[range] = []
        self._bytes = 0
        self._counted: Statistics | None = None

    def add(self, rows: Sequence[int]) -> None:
        """These rows, in rising order, have been made: count them, or leave it to a later call."""
        if not rows:
            return
        with self._lock:
            self._waiting += _runs(rows)
            self._bytes += sum(self._column[row].nbytes for row in rows)
            if self._bytes < COUNTED_BYTES:
                return
            waiting, self._waiting, self._bytes = self._waiting, [], 0
        self._count(waiting)

    def count(self, images: Sequence[np.ndarray]) -> None:
        """Count these images, which are in no column."""
        if images:
            self._merge(Statistics.of(images, self._field))

    def rest(self) -> Statistics | None:
        """The statistics of all rows, counting those that wait; None of no rows."""
        with self._lock:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
        self._count(waiting)
        return self._counted

    def _count(self, runs: Sequence[range]) -> None:
        for rows in _joined(runs):
            self._merge(Statistics.of(self._column[rows.start : rows.stop], self._field))

    def _merge(self, found: Statistics) -> None:
        with self._lock:
            self._counted = self._counted.merge(found) if self._counted else found


def _runs(rows: Sequence[int]) -> list[range]:
    return _joined([range(row, row + 1) for row in rows])


def _joined(runs: Sequence[range]) -> list[range]:
    """The same rows in as few runs as can be."""
    joined: list[range] = []
    for run in sorted(runs, key=lambda run: run.start):
        if joined and joined[-1].stop == run.start:
            run = range(joined.pop().start, run.stop)
        joined.append(run)
    return joined
