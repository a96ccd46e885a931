"""From positions to jobs: what a thread must know to make a batch.

The permutation and the random choices are computed for many batches in one go, since NumPy's calls
cost more than a small batch's numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice

import numpy as np
import numpy.typing as npt

from dsets.stream.order import Order, Rows
from dsets.stream.state import State
from dsets.transforms.view import Views

_POSITIONS_AT_ONCE = 16384

#: (epoch, sample numbers) → the samples' views in that epoch.
Choose = Callable[[int, npt.NDArray[np.int64]], Views | None]
#: Takes sample numbers.
Expect = Callable[[npt.NDArray[np.int64]], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One batch of one rank: sample numbers int64 (rows,), valid bool (rows,), how to show them.

    ``substituted`` bool (rows,): where a sample stands for one that cannot be read; None: nowhere.
    """

    epoch: int
    position: int
    index: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]
    views: Views | None
    substituted: npt.NDArray[np.bool_] | None = None


def jobs(order: Order, choose: Choose, state: State, expect: Expect | None = None) -> Iterator[Job]:
    """A job for each batch from ``state`` on, without end.

    ``expect`` is told what comes, a chunk of batches before its time.
    """
    chunks = _chunks(order, state)
    if expect is not None:
        chunks = _told(chunks, expect)
    for epoch, starts, parts, index in chunks:
        views = None if expect else choose(epoch, index)
        for job in _jobs_at_once(epoch, starts, parts, index, views):
            # A choice reads the samples' keys: it must not wait for a whole chunk to arrive.
            yield replace(job, views=choose(epoch, job.index)) if expect else job


#: Epoch, where its batches start, their rows, and the sample numbers of all of them.
_Chunk = tuple[int, list[int], list[Rows], npt.NDArray[np.int64]]


def _chunks(order: Order, state: State) -> Iterator[_Chunk]:
    batches = max(1, _POSITIONS_AT_ONCE // order.rows_a_batch)
    for epoch, states in groupby(order.walk(state), lambda start: start.epoch):
        while starts := [start.position for start in islice(states, batches)]:
            parts = [order.rows(start) for start in starts]
            index = order.samples(epoch, np.concatenate([part.positions for part in parts]))
            yield epoch, starts, parts, index


def _told(chunks: Iterator[_Chunk], expect: Expect) -> Iterator[_Chunk]:
    """The same, each after the one behind it was told."""
    before: _Chunk | None = None
    for chunk in chunks:
        expect(chunk[3])
        if before is not None:
            yield before
        before = chunk


def _jobs_at_once(
    epoch: int,
    starts: list[int],
    parts: list[Rows],
    index: npt.NDArray[np.int64],
    views: Views | None,
) -> Iterator[Job]:
    end = 0
    for start, part in zip(starts, parts, strict=True):
        rows = slice(end, end + len(part.positions))
        end = rows.stop
        # The index goes out with the batch: a copy, lest a kept batch keep the whole chunk.
        shown = None if views is None else views[rows]
        yield Job(epoch, start, index[rows].copy(), part.valid, shown)
