"""The tables of Open Images, a piece at a time: gigabytes of CSV in a bounded memory."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, BinaryIO

from dsets.errors import DataError
from dsets.readers import _openimages_columns, _openimages_lines
from dsets.readers._openimages_columns import CORNERS, FLAGS, HEAD_BYTES
from dsets.readers._openimages_lines import REMEDY, Counted, Layout
from dsets.readers._openimages_piece import Piece, wrong
from dsets.readers._openimages_table import Table

PIECE = 1 << 18  # rows that are in memory at a time
_TEXT, _NUMBER, _KEY = "category", "float32", "S17"
_UNREAD = "S1"
_LABELS = {"source": _TEXT, "label": _TEXT, "confidence": _NUMBER}
#: Kind → the types of the columns that are read.
_DTYPES = {
    "boxes": _LABELS | dict.fromkeys(("xmin", "xmax", "ymin", "ymax", *FLAGS), _NUMBER),
    "human_labels": _LABELS,
    "machine_labels": _LABELS,
    "points": {"label": _TEXT, "answer": _TEXT, "x": _NUMBER, "y": _NUMBER},
    "relationships": dict.fromkeys(("label1", "label2", "relation"), _TEXT)
    | dict.fromkeys(CORNERS, _NUMBER),
    "rotation": {"rotation": _NUMBER},
}


def pieces(table: Table, kind: str) -> Generator[Piece]:
    """The rows of a table of a kind of annotation, PIECE at a time; close it when done.

    Raises:
        DataError: the file is not one, or a row is not; it names the line.
    """
    with table.opened() as file:
        try:
            yield from _pieces(table, kind, file)
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", where=table.where) from error


def _pieces(table: Table, kind: str, file: BinaryIO) -> Iterator[Piece]:
    import pandas as pd

    head = file.read(HEAD_BYTES)
    layout = _openimages_columns.layout(head, kind, table.where)
    names = [name or f"-{place}" for place, name in enumerate(layout.columns)]
    dtypes: dict[str, Any] = {name: _DTYPES[kind].get(name) for name in names}
    dtypes["image"] = _KEY
    # Were columns chosen by ``usecols``, pandas would pass over what a row has too many.
    dtypes = {name: dtype or _UNREAD for name, dtype in dtypes.items()}
    settings: dict[str, Any] = {
        "header": None,
        "names": names,
        "skip_blank_lines": False,
        "engine": "c",
        "encoding_errors": "backslashreplace",
    }
    done = commas = 0
    # A handle of our own: pandas takes an address or a compressed file for what it is not.
    counted = Counted(file, head[layout.start :])
    handle = counted.buffered()
    try:
        for frame in pd.read_csv(handle, dtype=dtypes, chunksize=PIECE, **settings):
            piece = Piece(table, layout, frame, done)
            yield piece
            done += len(frame)
            commas += len(piece) * (len(names) - 1)
    except pd.errors.ParserError as error:
        raise _openimages_lines.odd(table, layout) or DataError(
            "no table",
            where=table.where,
            got=str(error).rpartition("error: ")[2].strip()[:120],
            remedy=REMEDY,
        ) from error
    except pd.errors.EmptyDataError:
        return  # a header and nothing else
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise _blame(table, layout, kind, done) from error
    strange = counted.nuls or commas != counted.commas
    if strange and (odd := _openimages_lines.odd(table, layout)):
        raise odd


def _blame(table: Table, layout: Layout, kind: str, done: int) -> DataError:
    """The DataError about the first row that is odd, or else number that is none, from the row
    ``done`` on."""
    if odd := _openimages_lines.odd(table, layout, done + PIECE):
        return odd
    numbers = {
        place: name
        for place, name in enumerate(layout.columns)
        if _DTYPES[kind].get(name) == _NUMBER
    }
    for row, (_, cells) in enumerate(_openimages_lines.rows(table, layout)):
        for place, name in numbers.items() if cells and row >= done else ():
            try:
                float(cells[place].strip() or "nan")
            except ValueError:
                return wrong(table, layout, row, f"bad {name}", "a number", name)
    return DataError("a value that cannot be read", where=table.where, remedy=REMEDY)
