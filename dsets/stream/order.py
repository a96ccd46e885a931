"""The order of a stream: which samples stand in which batch of which rank. Promises 1 and 3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsets.errors import UsageError
from dsets.numbers import whole
from dsets.stream.permutation import Permutation, round_keys
from dsets.stream.state import Key, State
from dsets.stream.window import Window


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one rank's batch: positions int64 (rows,), valid bool (rows,)."""

    positions: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Order:
    """How n samples are dealt into global batches of ``batch_size`` and to ``ranks`` ranks.

    A rank's batches may be made by several processes: ``turn`` is the first batch of an epoch that
    this one makes, every ``turns``-th follows.
    """

    n: int
    key: Key
    batch_size: int
    drop_last: bool = False
    rank: int = 0
    ranks: int = 1
    turn: int = 0
    turns: int = 1

    def __post_init__(self) -> None:
        self._whole("n", "n", 0, 2**62)
        self._whole("batch_size", "batch_size", 1, 2**31 - 1)
        self._whole("ranks", "number of ranks", 1, 2**20)
        self._whole("rank", "rank", 0, self.ranks - 1)
        self._whole("turns", "number of turns", 1, 2**20)
        self._whole("turn", "turn", 0, self.turns - 1)
        if self.drop_last and 0 < self.n < self.batch_size:
            raise UsageError(
                "drop_last would drop every batch",
                where="stream",
                expected=f"batch_size of at most {self.n}, the number of samples",
                got=self.batch_size,
            )

    def __len__(self) -> int:
        """Batches in a whole epoch, the same for every rank; of this turn."""
        full, rest = divmod(self.n, self.batch_size)
        return len(range(self.turn, full + (rest > 0 and not self.drop_last), self.turns))

    def _whole(self, name: str, words: str, least: int, most: int) -> None:
        value = whole(words, getattr(self, name), least, most, "stream")
        object.__setattr__(self, name, value)

    @property
    def first(self) -> int:
        """The position of an epoch's first batch; n where there is none."""
        return min(self.turn * self.batch_size, self.n)

    @property
    def rows_a_batch(self) -> int:
        """This rank's rows in a full batch."""
        return -(-min(self.batch_size, self.n) // self.ranks)

    def over(self, position: int) -> bool:
        """True when no batch starts at ``position`` any more."""
        return position + (self.batch_size if self.drop_last else 1) > self.n

    def after(self, position: int) -> int:
        """The position behind the batch that starts at ``position``."""
        return min(position + self.batch_size, self.n)

    def following(self, position: int) -> int:
        """The position of the batch that comes after the one that starts at ``position``."""
        return min(position + self.turns * self.batch_size, self.n)

    def walk(self, state: State) -> Iterator[State]:
        """The start of every batch from ``state`` on, epoch after epoch, without end."""
        if not len(self):
            return
        epoch, position = state.epoch, state.position
        while True:
            while not self.over(position):
                yield State(epoch, position)
                position = self.following(position)
            epoch, position = epoch + 1, self.first

    def rows(self, position: int) -> Rows:
        """This rank's share of the batch that starts at ``position``.

        Padding repeats the batch's last position and is marked invalid.
        """
        total = self.after(position) - position
        share = -(-total // self.ranks)
        if isinstance(self.key.shuffle, Window):
            taken = self.key.shuffle.share(position, total, self.rank, self.ranks)
            padding = np.full(share - len(taken), position + total - 1)
            return Rows(np.append(taken, padding), np.arange(share) < len(taken))
        row = np.arange(self.rank * share, (self.rank + 1) * share, dtype=np.int64)
        return Rows(position + np.minimum(row, total - 1), row < total)

    def samples(self, epoch: int, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The sample numbers, int64 (m,), that stand at these positions of an epoch."""
        if not self.key.shuffle:
            return positions
        keys = round_keys(self.key.samples_digest, self.key.seed, epoch)
        if isinstance(self.key.shuffle, Window):
            return self.key.shuffle.samples(self.n, keys, positions)
        return Permutation(self.n, keys)(positions)
