"""Which rows of a shard, or samples of a pack, were compared with their CRC-32Cs in this process.

Nothing locks: a bit that is lost between two threads only has a row compared once more, and a
forked child goes on from what its parent had compared, of the same file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


class Compared:
    """A set of rows, a bit each; no memory before the first is added."""

    __slots__ = ("_bits", "_rows")

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._bits: npt.NDArray[np.uint8] | None = None

    def __contains__(self, row: int) -> bool:
        return self._bits is not None and bool(int(self._bits[row >> 3]) >> (row & 7) & 1)

    def missing(self, rows: Numbers) -> Numbers:
        """Those of these rows that are not in the set."""
        if self._bits is None:
            return rows
        missing: Numbers = rows[self._bits[rows >> 3] >> (rows & 7).astype(np.uint8) & 1 == 0]
        return missing

    def add(self, rows: Numbers) -> None:
        if self._bits is None:
            self._bits = np.zeros(-(-self._rows // 8), np.uint8)
        np.bitwise_or.at(self._bits, rows >> 3, np.uint8(1) << (rows & 7).astype(np.uint8))
