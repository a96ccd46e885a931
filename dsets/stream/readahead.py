"""Reads issued ahead of the threads that need them, for storage slower than memory.

A thread that touches a sample which is not in the page cache waits for storage, a read at a time.
So the system is asked for the samples of the batches to come, many at once, and its own queue keeps
storage busy. Asking costs some microseconds a sample also where all is in memory, and nobody tells
a reader of somebody else's files what is: what the process itself has read from storage does, be it
at a page fault or because it was asked for. While that was nothing in the last batches, nothing is
asked for.

The system's own guess is switched off: at a fault it reads what lies around as well, which in a
random order nobody will ask for, and where memory is short that drives out what was asked for
(measured: 190 instead of 3,400 samples a second).
"""

from __future__ import annotations

import ctypes
import mmap
import resource
import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.pack import Pack
from dsets.stream.plan import Job

#: How far ahead, in bytes, and in batches.
_BYTES, _BATCHES = 128 << 20, 16
#: Batches for which to go on asking after something has come from storage.
_PATIENCE = 64


def _reads() -> int:
    """Grows when this process waits for a page from storage, or has storage asked for one.

    Faults alone would not do: where all that is asked for comes in time, there are none.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_majflt + usage.ru_inblock


class _Places:
    """Where a field's samples lie in memory: addresses and bytes, by sample number."""

    def __init__(self, pack: Pack, name: str, fixed: bool) -> None:
        arrays = pack.arrays(name)
        self._whole = [(array.ctypes.data, array.nbytes) for array in arrays]
        self._starts = pack.starts
        self._base = np.array([array.ctypes.data for array in arrays], np.int64)
        self._item = arrays[0].itemsize
        self._bounds = None if fixed else pack.arrays(f"offsets/{name}")
        self._width = arrays[0].nbytes // max(1, len(arrays[0])) if fixed else 0

    def whole(self) -> Iterator[tuple[int, int]]:
        """Where the field lies in each shard: address and bytes."""
        yield from self._whole

    def __call__(self, index: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        shards = np.searchsorted(self._starts, index, side="right") - 1
        rows = index - self._starts[shards]
        if self._bounds is None:
            for first in (self._base[shards] + rows * self._width).tolist():
                yield first, self._width
            return
        for shard, row in zip(shards.tolist(), rows.tolist(), strict=True):
            begin, end = self._bounds[shard][row : row + 2].tolist()
            yield int(self._base[shard]) + begin * self._item, (end - begin) * self._item


class ReadAhead:
    """What a stream asks the system for. Knows the largest field alone: the rest is small."""

    def __init__(self, pack: Pack) -> None:
        sizes = {
            field.name: sum(shard.datasets[field.name].length for shard in pack.index.shards)
            for field in pack.fields
        }
        largest = max(pack.fields, key=lambda field: sizes[field.name])
        self._places = _Places(pack, largest.name, largest.fixed)
        self._bytes = max(1, sizes[largest.name] // max(1, len(pack)))
        self._advise: Any = None
        if sys.platform == "linux":
            self._advise = ctypes.CDLL(None).madvise
            self._advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
            self._tell(self._places.whole(), mmap.MADV_RANDOM)
        self._reads = _reads() if self._advise else 0
        self._patience = _PATIENCE
        #: Samples asked for so far.
        self.asked = 0

    def jobs(self, jobs: Iterator[Job]) -> Iterator[Job]:
        """The same jobs in the same order; the samples of later ones are on their way.

        The first comes at once: the distance grows by a batch each time.
        """
        waiting: deque[Job] = deque()
        rows = 0
        while True:
            far = len(waiting) >= _BATCHES or rows * self._bytes >= _BYTES
            for job in islice(jobs, 1 if far else 2):
                self.ask(job.index)
                waiting.append(job)
                rows += len(job.index)
            if not waiting:
                return
            rows -= len(waiting[0].index)
            yield waiting.popleft()

    def ask(self, index: npt.NDArray[np.int64]) -> None:
        """Ask for these samples, unless everything seems to be in memory."""
        if self._advise is None:
            return
        reads = _reads()
        self._patience = _PATIENCE if reads > self._reads else self._patience - 1
        self._reads = reads
        if self._patience < 0:
            return
        self.asked += len(index)
        self._tell(self._places(index), mmap.MADV_WILLNEED)

    def _tell(self, places: Iterator[tuple[int, int]], advice: int) -> None:
        page = mmap.PAGESIZE
        for address, size in places:
            start = address - address % page
            self._advise(start, address + size - start, advice)
