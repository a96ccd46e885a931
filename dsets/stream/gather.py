"""Rows of one field, gathered from the memory-mapped shards of a pack."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.stream.ragged import Ragged


class Unreadable(Exception):
    """Raised while a batch is gathered: samples, by number, that cannot be read, and why."""

    def __init__(self, reasons: dict[int, str]) -> None:
        self.reasons = reasons
        super().__init__(str(reasons))


@dataclass(frozen=True, slots=True)
class Column:
    """A field of fixed size: one array (n_shard, …) a shard; ``starts`` int64 (shards + 1,)."""

    shards: Sequence[npt.NDArray[Any]]
    starts: npt.NDArray[np.int64]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.shards[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row, as stored."""
        return self.shards[0].shape[1:]

    def take(self, index: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> None:
        """Copy the rows ``index`` (m,) to ``out`` (m, …), C-contiguous and of the same dtype."""
        if len(self.shards) == 1:
            np.take(self.shards[0], index, axis=0, out=out, mode="clip")
            return
        shard = np.searchsorted(self.starts, index, side="right") - 1
        by_shard = np.argsort(shard, kind="stable")
        bounds = np.flatnonzero(np.diff(shard[by_shard], prepend=-1, append=-1))
        for first, last in pairwise(bounds.tolist()):
            rows = by_shard[first:last]
            number = shard[rows[0]]
            out[rows] = self.shards[number][index[rows] - self.starts[number]]


@dataclass(frozen=True, slots=True)
class Varying:
    """A field whose rows differ in length: a flat array and the bounds of its rows, uint64
    (n_shard + 1,), a shard; ``inner`` is the shape of one of a row's values."""

    name: str
    shards: Sequence[npt.NDArray[Any]]
    bounds: Sequence[npt.NDArray[np.uint64]]
    starts: npt.NDArray[np.int64]
    inner: tuple[int, ...]

    def take(self, index: npt.NDArray[np.int64]) -> Ragged:
        """A copy of the rows ``index`` (m,).

        Raises:
            Unreadable: rows with damaged bounds, between which is no whole number of values.
        """
        shards = np.searchsorted(self.starts, index, side="right") - 1
        parts = []
        for number, shard in zip(index.tolist(), shards.tolist(), strict=True):
            row = number - int(self.starts[shard])
            begin, end = self.bounds[shard][row : row + 2].tolist()
            parts.append(self.shards[shard][begin:end])
        width = max(1, math.prod(self.inner))
        sizes = np.array([0, *map(len, parts)], np.int64)
        torn = index[sizes[1:] % width != 0].tolist()
        if torn:  # or what follows would show other rows' values
            reason = f"{self.name}: a value of another size than its shape"
            raise Unreadable(dict.fromkeys(torn, reason))
        native = self.shards[0].dtype.newbyteorder("=")
        values = np.concatenate(parts).astype(native, copy=False).reshape(-1, *self.inner)
        return Ragged(values, np.cumsum(sizes // width))


@dataclass(frozen=True, slots=True)
class Strings:
    """A field ``uint8 (None,)``: a flat array and the bounds of its rows, uint64 (n_shard + 1,), a
    shard; ``starts`` int64 (shards + 1,)."""

    shards: Sequence[npt.NDArray[np.uint8]]
    bounds: Sequence[npt.NDArray[np.uint64]]
    starts: npt.NDArray[np.int64]

    def get(self, number: int) -> bytes:
        """A copy of one row."""
        shard = int(np.searchsorted(self.starts, number, side="right")) - 1
        row = number - int(self.starts[shard])
        begin, end = self.bounds[shard][row : row + 2].tolist()
        return self.shards[shard][begin:end].tobytes()
