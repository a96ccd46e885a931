"""Keys that two rows of a table share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

EXPECTED = "each key once"
REMEDY = "leave the file out that has the second one, or take that sample out of it"
_PLACES = ("archive", "file", "member")
_OFFSET = "offset"


def repeated(table: pd.DataFrame) -> str:
    """Which key comes twice, and where both lie, as far as the table tells; "" where none does."""
    keys = table["key"]
    if keys.is_unique:
        return ""
    again = keys.duplicated()
    row = int(again.to_numpy().argmax())
    key = keys.iloc[row]
    first = int((keys == key).to_numpy().argmax())
    number = int(keys[again].nunique())
    more = f"; {number - 1:,} more such keys" if number > 1 else ""
    return shared(key, [first, row], table) + more


def shared(key: str, rows: Sequence[int], table: pd.DataFrame | None) -> str:
    """A key and the rows that have it, with where they lie as far as a table tells."""
    return f"{key!a:.80} {' and '.join(_place(table, row) for row in rows)}"


def _place(table: pd.DataFrame | None, row: int) -> str:
    parts = []
    if table is not None and row < len(table):
        parts += [f"in {table[name].iloc[row]}" for name in _PLACES if name in table]
        parts += [f"at byte {table[_OFFSET].iloc[row]:,}"] if _OFFSET in table else []
    return f"in row {row:,}" + (f" ({' '.join(parts)})" if parts else "")
