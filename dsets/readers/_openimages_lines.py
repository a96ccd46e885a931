"""The rows of Open Images' CSV files as they are written, for what a parser of numbers cannot see.

pandas fills a row that is too short, and takes one of commas or of NUL bytes for an empty line. So
what it reads is counted on the way; where that does not add up, the row is looked for here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from dsets.errors import DataError

if TYPE_CHECKING:
    from dsets.readers._openimages_table import Table

LINE_BYTES = 1 << 16
REMEDY = "get the published file again, or mend it and adopt it with --unverified"
_COMMA, _QUOTE = b',"'
_BUFFER = 1 << 18


class Layout(NamedTuple):
    """``columns`` of a file by their place, "" for those that nobody reads; the rows begin at the
    byte ``start``, in the line of the number ``first``."""

    columns: tuple[str, ...]
    first: int
    start: int


class Counted(io.RawIOBase):
    """The rest of a file after ``ahead``, which was read already: it counts the NUL bytes, and the
    commas outside quotes that are read from it."""

    def __init__(self, file: BinaryIO, ahead: bytes) -> None:
        self._file = file
        self._ahead = ahead
        self._within = False  # quotes
        self.commas = self.nuls = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        if self._ahead:
            count = min(len(self._ahead), len(buffer))
            buffer[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
        else:
            count = self._file.readinto(buffer)  # type: ignore[attr-defined]
        data = np.frombuffer(buffer, np.uint8, count)
        self.nuls += count - int(np.count_nonzero(data))
        commas = data == _COMMA
        if (quotes := data == _QUOTE).any():
            within = np.bitwise_xor.accumulate(quotes) ^ self._within
            commas &= ~within
            self._within = bool(within[-1])
        elif self._within:
            return count
        self.commas += int(np.count_nonzero(commas))
        return count

    def buffered(self) -> io.BufferedReader:
        return io.BufferedReader(self, _BUFFER)


def lines(file: BinaryIO) -> Iterator[str]:
    """The lines that follow in a file, of any system, with their ends, as Latin-1; one longer than
    a row can be comes in pieces."""
    text = io.TextIOWrapper(file, "latin-1", newline="")
    try:
        yield from iter(partial(text.readline, LINE_BYTES), "")
    finally:
        if not file.closed:  # which is for its owner to do
            text.detach()


def parsed(file: BinaryIO, table: Table, first: int) -> Iterator[tuple[int, list[str], str]]:
    """The rows that follow in a table's file: the number of the line in which each begins, from
    ``first`` on, its cells (none of an empty line), and the row as it is written.

    Raises:
        DataError: a quoted cell is larger than any may be.
    """
    taken: list[str] = []

    def noted() -> Iterator[str]:
        for line in lines(file):
            taken.append(line)
            yield line

    number = first
    reader = csv.reader(noted())
    try:
        for cells in reader:
            yield number, cells, "".join(taken)
            taken.clear()
            number = first + reader.line_num
    except csv.Error as error:
        where = f"{table.where}, line {number}"
        raise DataError("no table", where=where, got=ascii(str(error)), remedy=REMEDY) from error


def rows(table: Table, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """The number of the line in which each row begins, and its cells. Raises as ``parsed``."""
    with table.opened() as file:
        file.read(layout.start)
        for number, cells, _ in parsed(file, table, layout.first):
            yield number, cells


def odd(table: Table, layout: Layout, last: int | None = None) -> DataError | None:
    """What is wrong with the first row, up to the row ``last``, that has not the columns of the
    others, or nothing in any, or NUL bytes; None where there is no such row."""
    expected = f"{len(layout.columns)} columns"
    for row, (number, cells) in enumerate(rows(table, layout)):
        if last is not None and row > last:
            return None
        if not cells:
            continue
        if any("\0" in cell for cell in cells):
            got = "NUL bytes"
        elif len(cells) != len(layout.columns):
            got = str(len(cells))
        elif not any(cells):
            got = "nothing in any"
        else:
            continue
        return DataError(
            "a row is not like the others",
            where=f"{table.where}, line {number}",
            expected=expected,
            got=got,
            remedy=REMEDY,
        )
    return None


def cell(table: Table, layout: Layout, row: int, name: str) -> tuple[int, str]:
    """The number of a row's line, and what is written there below a column."""
    place = layout.columns.index(name)
    for at, (number, cells) in enumerate(rows(table, layout)):
        if at == row:
            return number, cells[place] if place < len(cells) else ""
    return layout.first + row, ""
