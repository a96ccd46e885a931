"""The rows of Open Images' CSV files as they are written, for what a parser of numbers cannot see.

pandas fills a row that is too short, and takes one of commas or of NUL bytes for an empty line. So
what it reads is counted on the way; where that does not add up, the row is looked for here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from dsets.errors import DataError

LINE_BYTES = 1 << 16
REMEDY = "get the published file again, or mend it and adopt it with --unverified"
_COMMA = ord(",")
_BUFFER = 1 << 18


class Layout(NamedTuple):
    """``columns`` of a file by their place, "" for those that nobody reads; the rows begin at the
    byte ``start``, in the line of the number ``first``."""

    columns: tuple[str, ...]
    first: int
    quoted: bool
    start: int

    def line(self, row: int) -> int:
        """The number of the line of a row, counted from 0."""
        return self.first + row


class Counted(io.RawIOBase):
    """A file that counts the commas and the NUL bytes that are read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.commas = self.nuls = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        count = self._file.readinto(buffer)  # type: ignore[attr-defined]
        data = np.frombuffer(buffer, np.uint8, count)
        self.commas += int(np.count_nonzero(data == _COMMA))
        self.nuls += count - int(np.count_nonzero(data))
        return int(count)

    def buffered(self) -> io.BufferedReader:
        return io.BufferedReader(self, _BUFFER)


def lines(path: Path, start: int) -> Iterator[str]:
    """The lines from the byte ``start`` on, of any system, with their ends, as Latin-1; one longer
    than a row can be comes in pieces."""
    with path.open("rb") as file:
        file.seek(start)
        text = io.TextIOWrapper(file, "latin-1", newline="")
        yield from iter(partial(text.readline, LINE_BYTES), "")


def rows(path: Path, layout: Layout) -> Iterator[list[str]]:
    """The cells of each row; none of an empty line.

    Raises:
        DataError: a quoted cell is larger than any may be.
    """
    found = lines(path, layout.start)
    if not layout.quoted:
        yield from (line.rstrip("\r\n").split(",") if line.strip("\r\n") else [] for line in found)
        return
    try:
        yield from csv.reader(found)
    except csv.Error as error:
        got = ascii(str(error))
        raise DataError("no table", where=path, got=got, remedy=REMEDY) from error


def odd(path: Path, layout: Layout, last: int | None = None) -> DataError | None:
    """What is wrong with the first row, up to the row ``last``, that has not the columns of the
    others, or nothing in any, or NUL bytes; None where there is no such row."""
    expected = f"{len(layout.columns)} columns"
    for number, cells in enumerate(rows(path, layout)):
        if last is not None and number > last:
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
            where=f"{path}, line {layout.line(number)}",
            expected=expected,
            got=got,
            remedy=REMEDY,
        )
    return None


def cell(path: Path, layout: Layout, row: int, name: str) -> str:
    """What is written in a row below a column."""
    place = layout.columns.index(name)
    for number, cells in enumerate(rows(path, layout)):
        if number == row:
            return cells[place] if place < len(cells) else ""
    return ""
