"""Rows of differing length, without a Python object for each: values and offsets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from dsets.errors import UsageError
from dsets.numbers import written


@dataclass(frozen=True, slots=True, eq=False)
class Ragged(Sequence[Any]):
    """Row i is ``values[offsets[i] : offsets[i + 1]]``; a sequence of the rows.

    ``values`` (all rows' values, …) is an array or a tensor; ``offsets`` int64 (rows + 1,) is
    always NumPy, like a batch's ``index``.
    """

    values: Any
    offsets: npt.NDArray[np.int64]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64 (rows,)."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Which row each value is of, int64 (values,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def padded(self, fill: Any = 0, length: int | None = None) -> Any:
        """(rows, length, …): each row's values, then ``fill``; of longer rows the first ones.

        ``length`` is the longest row's, unless it is given. ``lengths`` tells values from fill.

        Raises:
            UsageError: the values' dtype does not hold ``fill``: -1 in uint8 or bool, 0.5 in int64.
        """
        _check(fill, str(self.values.dtype).removeprefix("torch."))
        longest = int(self.lengths.max(initial=0)) if length is None else length
        rows = self.rows
        within = np.arange(len(rows)) - self.offsets[:-1][rows]
        shape = (len(self), longest, *self.values.shape[1:])
        if isinstance(self.values, np.ndarray):
            out: Any = np.full(shape, fill, self.values.dtype)
        else:
            out = self.values.new_full(shape, fill)
        kept = np.flatnonzero(within < longest)
        out[rows[kept], within[kept]] = self.values[kept] if len(kept) < len(rows) else self.values
        return out

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> list[Any]: ...
    def __getitem__(self, row: int | slice) -> Any:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        number = range(len(self))[row]
        return self.values[int(self.offsets[number]) : int(self.offsets[number + 1])]

    def __iter__(self) -> Iterator[Any]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        return f"<Ragged {len(self)} rows of {self.values.dtype} {tuple(self.values.shape)}>"


def _check(fill: Any, dtype: str) -> None:
    """Raise UsageError where the dtype would make another value, or none, of ``fill``."""
    wanted = "a number"
    if dtype == "bool":
        wanted = "True or False"
    elif dtype.startswith(("int", "uint")):
        wanted = f"a whole number from {np.iinfo(dtype).min} to {np.iinfo(dtype).max}"
    try:
        number = float(fill)
        if dtype == "bool":
            fits = number in (0, 1)
        elif dtype.startswith(("int", "uint")):
            fits = fill == int(fill) and np.iinfo(dtype).min <= fill <= np.iinfo(dtype).max
        else:
            fits = not isinstance(fill, str | bytes)
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        raise UsageError(
            f"a field of {dtype} cannot be padded with this",
            expected=wanted,
            got=written(fill),
            remedy="leave the fill out (0), and let lengths tell values from fill",
        )
