"""From positions to jobs: what a thread must know to make a batch.

The permutation and the random choices are computed for many batches in one go, since NumPy's calls
cost more than a small batch's numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import numpy.typing as npt

from dsets.stream.order import Order
from dsets.stream.state import State
from dsets.transforms.view import Views

_POSITIONS_AT_ONCE = 16384

#: (epoch, sample numbers) → the samples' views in that epoch.
Choose = Callable[[int, npt.NDArray[np.int64]], Views | None]


@dataclass(frozen=True, slots=True)
class Job:
    """One batch of one rank: sample numbers int64 (rows,), valid bool (rows,), how to show them."""

    epoch: int
    position: int
    index: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]
    views: Views | None


def jobs(order: Order, choose: Choose, state: State) -> Iterator[Job]:
    """A job for each batch from ``state`` on, without end."""
    batches = max(1, _POSITIONS_AT_ONCE // order.rows_a_batch)
    for epoch, states in groupby(order.walk(state), lambda start: start.epoch):
        while starts := [start.position for start in islice(states, batches)]:
            yield from _jobs_at_once(order, choose, epoch, starts)


def _jobs_at_once(order: Order, choose: Choose, epoch: int, starts: list[int]) -> Iterator[Job]:
    parts = [order.rows(start) for start in starts]
    index = order.samples(epoch, np.concatenate([part.positions for part in parts]))
    views = choose(epoch, index)
    end = 0
    for start, part in zip(starts, parts, strict=True):
        rows = slice(end, end + len(part.positions))
        end = rows.stop
        # The index goes out with the batch: a copy, lest a kept batch keep the whole chunk.
        shown = None if views is None else views[rows]
        yield Job(epoch, start, index[rows].copy(), part.valid, shown)
