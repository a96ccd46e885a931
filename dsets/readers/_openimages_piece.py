"""Some rows of a table of Open Images: columns of one type, each value checked.

What cannot be is refused with the number of its line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dsets.errors import DataError
from dsets.readers import _openimages_lines
from dsets.readers._openimages_lines import REMEDY, Layout
from dsets.readers._openimages_table import Table

if TYPE_CHECKING:
    import pandas as pd


class Piece:
    """Some rows of a file: ``image`` uint64 (n,) and the other columns, by name."""

    def __init__(self, table: Table, layout: Layout, frame: pd.DataFrame, first: int) -> None:
        self._table = table
        self._layout = layout
        self._frame = frame
        self._first = first  # row
        keys = frame["image"].to_numpy()
        blank = keys == b""
        read = [name for name in frame if frame[name].dtype.kind != "S"]
        if blank.any() and not frame[blank][read].notna().any(axis=None):
            self._first_of = np.flatnonzero(~blank)
            self._frame = frame = frame[~blank]
            keys = keys[~blank]
        else:
            self._first_of = np.arange(len(frame))
        self.image = self._ids(keys)

    def __len__(self) -> int:
        return len(self.image)

    def __contains__(self, name: str) -> bool:
        return name in self._frame

    def numbers(self, name: str, least: float, most: float) -> npt.NDArray[np.float32]:
        """float32 (n,). Raises DataError for one that is missing or outside."""
        values = self._frame[name].to_numpy(np.float32)
        good = (values >= least) & (values <= most)  # not so for NaN
        self.check(good, f"bad {name}", f"a number from {least:g} to {most:g}", name)
        return values

    def flags(self, name: str) -> npt.NDArray[np.uint16]:
        """uint16 (n,): 0 unknown (-1, empty, or no such column), 1 no, 2 yes."""
        if name not in self:
            return np.zeros(len(self), np.uint16)
        values = np.nan_to_num(self._frame[name].to_numpy(np.float32), nan=-1.0)
        self.check(np.isin(values, (-1, 0, 1)), f"bad {name}", "1, 0, or -1 for unknown", name)
        found: npt.NDArray[np.uint16] = (values + 1).astype(np.uint16)
        return found

    def optional(self, name: str) -> npt.NDArray[np.float32]:
        """float32 (n,), NaN where nothing is said."""
        return self._frame[name].to_numpy(np.float32)

    def texts(self, name: str) -> tuple[list[str], npt.NDArray[np.int64]]:
        """The different texts, and int64 (n,) which one each row has, -1 for none."""
        if name not in self:
            return [], np.full(len(self), -1, np.int64)
        column = self._frame[name].array
        return [str(text) for text in column.categories], np.asarray(column.codes, np.int64)

    def check(self, good: npt.NDArray[np.bool_], what: str, expected: str, name: str) -> None:
        """Refuse the first row that is not good. Raises DataError."""
        bad = np.flatnonzero(~good)
        if bad.size:
            row = self._first + int(self._first_of[bad[0]])
            raise wrong(self._table, self._layout, row, what, expected, name)

    def _ids(self, keys: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
        letters = keys.view(np.uint8).reshape(len(keys), 17)
        digits = _DIGITS[letters[:, :16]]
        good = (digits < 16).all(axis=1) & (letters[:, 16] == 0)
        self.check(good, "bad image id", "16 hexadecimal digits", "image")
        return packed(digits)


def wrong(table: Table, layout: Layout, row: int, what: str, expected: str, name: str) -> DataError:
    """A DataError about a cell of the row; or about the first row up to it that is odd."""
    if odd := _openimages_lines.odd(table, layout, row):
        return odd
    number, got = _openimages_lines.cell(table, layout, row, name)
    where = f"{table.where}, line {number}"
    shown = ascii(got[:60]) if got.strip() else "nothing"
    return DataError(what, where=where, expected=expected, got=shown, remedy=REMEDY)


_DIGITS = np.full(256, 255, np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_DIGITS[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)


def packed(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """uint64 (n,) of hexadecimal digits (n, 16)."""
    pairs = (digits[:, 0::2] << 4) | digits[:, 1::2]
    return np.ascontiguousarray(pairs).view(">u8").reshape(-1).astype(np.uint64)
