"""Window order: shuffled enough, yet read almost from front to back. Promise 7.

C canonical lanes own contiguous ranges of the samples, and position p of an epoch belongs to lane
p mod C. Lane l therefore owns as many samples as there are positions p < n with p mod C = l: all
lanes n // C, the first n mod C lanes one more, and where n < C the last lanes none at all.

In an epoch a lane starts somewhere in its range and goes once round it. What it passes is cut into
windows of W samples, the last one of what is left over, and each is permuted in itself
(``permutation``, tweaked by lane and window). So at any moment a lane needs W neighbouring samples,
and a position's sample is computed from n, C, W and the key of the epoch alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsets.numbers import whole
from dsets.stream.permutation import Keys, Permutation, mix

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Window:
    """The lanes and the samples a window of a window order; both are part of the order's key."""

    lanes: int = 64
    window: int = 1024

    def __post_init__(self) -> None:
        for name, value in (("lanes", self.lanes), ("window", self.window)):
            object.__setattr__(
                self, name, whole(name, value, 1, 2**31 - 1, "window order", "1 to 2**31 - 1")
            )

    def samples(self, n: int, keys: Keys, positions: Numbers) -> Numbers:
        """The sample numbers, int64 (m,), at ``positions`` (m,) of the epoch of these keys."""
        lane, step = positions % self.lanes, positions // self.lanes
        each, more = divmod(n, self.lanes)
        size = each + (lane < more)
        number, row = np.divmod(step, self.window)
        width = np.minimum(self.window, size - number * self.window)
        tweaks = mix(mix(lane.astype(np.uint64)) + number.astype(np.uint64))
        for here in np.unique(width).tolist():  # at most three
            rows = np.flatnonzero(width == here)
            row[rows] = Permutation(here, keys)(row[rows], tweaks[rows])
        start = mix(np.uint64(keys[0][0]) ^ mix(lane.astype(np.uint64) + np.uint64(1)))
        turned = number * self.window + row + (start % size.astype(np.uint64)).astype(np.int64)
        found: Numbers = lane * each + np.minimum(lane, more) + turned % size
        return found

    def share(self, position: int, total: int, rank: int, ranks: int) -> Numbers:
        """The positions, rising, that ``rank`` takes of ``total`` from ``position`` on.

        Lane l is at home in rank l * ranks // lanes. A rank takes what is at home in it, up to an
        equal share; what is too much for one goes to those that have room, in order.
        """
        share = -(-total // ranks)
        positions = position + np.arange(total, dtype=np.int64)
        positions = positions[np.argsort(positions % self.lanes, kind="stable")]
        home = positions % self.lanes * ranks // self.lanes
        first = np.searchsorted(home, np.arange(ranks + 1))
        beyond = np.arange(total) - first[home] >= share
        room = share - np.minimum(np.diff(first), share)
        before = int(room[:rank].sum())
        own = positions[~beyond & (home == rank)]
        spilt = positions[beyond][before : before + int(room[rank])]
        return np.sort(np.concatenate([own, spilt]))
