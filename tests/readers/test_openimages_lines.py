"""Rows of Open Images' tables: what cannot be is refused with the line in which it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dsets.errors import DataError
from dsets.readers import _openimages_csv, openimages
from tests.readers.tiny_openimages import (
    BOX,
    FLAGS,
    FROM_B,
    GOOD,
    ROTATED,
    TARS,
    A,
    B,
    C,
    source,
    table,
)


@pytest.mark.parametrize(
    ("rows", "line", "says"),
    [
        ([GOOD, GOOD.replace("/m/01yrx", "/m/zzz")], 3, "a class that is none"),
        ([GOOD, GOOD.replace("0.5", "half")], 3, "bad ymax.*'half'"),
        ([GOOD, GOOD.replace("0.5", "1.5")], 3, "bad ymax.*1.5"),
        ([GOOD, GOOD.replace("0.5", "nan")], 3, "bad ymax"),
        ([GOOD, GOOD.replace(",0,1,", ",0.9,0.1,")], 3, "ends before it begins"),
        ([GOOD[1:]], 2, "bad image id"),
        ([GOOD, "", "0" + GOOD], 4, "bad image id"),
        ([GOOD, f"{A},xclick"], 3, "not like the others; expected 8 columns, got 2; .*adopt"),
        ([GOOD, GOOD[:9]], 3, "expected 8 columns, got 1"),
        ([GOOD, "\0" * 40, GOOD], 3, "got NUL bytes"),
        ([GOOD, "," * 7, GOOD], 3, "got nothing in any"),
        ([GOOD, "   ", GOOD], 3, "expected 8 columns, got 1"),
        ([GOOD, " " + GOOD], 3, "bad image id.*got ' 0000"),
        ([GOOD, GOOD.replace("xclick", '"xclick'), GOOD], 3, "expected 8 columns, got 2"),
        ([GOOD, "zzzz" + GOOD[16:]], 3, "bad image id.*got 'zzzz'; "),
        ([GOOD, GOOD + ",1"], 3, "not like the others"),
        ([GOOD + ",1"], 2, "not like the others"),
        ([GOOD, GOOD.replace(",1,0,", ",7,0,")], 3, "bad confidence"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(
    tmp_path: Path, rows: list[str], line: int, says: str
) -> None:
    one = source(tmp_path, TARS | {"b.csv": table(BOX, *rows)}, {"boxes": "b.csv"})
    with pytest.raises(DataError, match=rf"b\.csv, line {line}") as caught:
        openimages.table(one)
    assert re.search(says, str(caught.value))


def test_a_row_that_ends_among_its_flags_is_refused(tmp_path: Path) -> None:
    row = f"{A},xclick,/m/01yrx,1,0,1,0,0.5,0,0,1,1,0"
    one = source(tmp_path, TARS | {"b.csv": table(f"{BOX},{FLAGS}", row, row[:-4])}, FROM_B)
    with pytest.raises(DataError, match=r"b\.csv, line 3: .* expected 13 columns, got 11"):
        openimages.table(one)
    (tmp_path / "b.csv").write_bytes(table(f"{BOX},{FLAGS}", row.replace("0,0,1,1", "2,0,1,1")))
    with pytest.raises(DataError, match=r"bad isoccluded; expected 1, 0, or .*, got '2'"):
        openimages.table(one)


@pytest.mark.parametrize("piece", [1, 2, 1 << 18])
def test_a_line_is_counted_across_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(_openimages_csv, "PIECE", piece)
    rows = [GOOD] * 6 + [GOOD.replace("0.5", "x")]
    one = source(tmp_path, TARS | {"b.csv": table(BOX, *rows)}, {"boxes": "b.csv"})
    with pytest.raises(DataError, match=r"b\.csv, line 8"):
        openimages.table(one)


def test_a_row_that_ends_too_soon_is_refused_among_titles_with_commas(tmp_path: Path) -> None:
    rows = [f'{A},train,"a, b\nc",90.0', f"{B},train,x,", f"{C},train"]
    one = source(
        tmp_path, TARS | {"r.csv": table(ROTATED, *rows)}, {"rotation": ["r.csv"]}, "rotation"
    )
    with pytest.raises(DataError, match=r"r\.csv, line 5: .*expected 4 columns, got 2"):
        openimages.table(one)
