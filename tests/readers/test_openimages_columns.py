"""Columns of Open Images' tables: known by name and meaning; what is no such table is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsets.errors import DataError
from dsets.readers import openimages
from tests.readers.tiny_openimages import BOX, FLAGS, FROM_B, TARS, A, C, read, source, table

RELEASES = {
    "without flags": table(BOX, f"{A},xclick,/m/01yrx,1,0,1,0,0.5"),
    "without header": table("", f"{A},xclick,/m/01yrx,1,0,1,0,0.5"),
    "without header, flags": table("", f"{A},xclick,/m/01yrx,1,0,1,0,0.5,-1,-1,-1,-1,-1"),
    "clicks": table(
        f"{BOX},{FLAGS},XClick1X,XClick2X,XClick3X,XClick4X,XClick1Y,XClick2Y,XClick3Y,XClick4Y",
        f"{A},xclick,/m/01yrx,1,0,1,0,0.5,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1",
    ),
    "misspelt": table(
        BOX.replace("Confidence", "Condidence").replace("LabelName", "Labelname").lower(),
        f"{A},xclick,/m/01yrx,1,0,1,0,0.5",
    ),
    "another order": table(
        "YMax,YMin,XMax,XMin,ImageId,LabelName,More", f"0.5,0,1,0,{A},/m/01yrx,x"
    ),
    "windows": b"\xef\xbb\xbf"
    + table(BOX, f"{A},xclick,/m/01yrx,1,0,1,0,0.5").replace(b"\n", b"\r\n"),
    "bom, no header": b"\xef\xbb\xbf" + table("", f"{A},xclick,/m/01yrx,1,0,1,0,0.5"),
    "quoted": table('"' + BOX.replace(",", '","') + '"', f'"{A}","x","/m/01yrx",1,0,1,0,0.5'),
    "quoted where it must be": table(
        f"{BOX},Name", f"{C},x,/m/01yrx,1,0,1,0,0.5,Cat", f'{A},x,/m/01yrx,1,0,1,0,0.5,"Cat, tame"'
    ),
    "quoted here and there": table(
        BOX, f"{C},x,/m/01yrx,1,0,1,0,0.5", f'"{A}","x",/m/01yrx,1,0,1,0,0.5'
    ),
    "returns": table(BOX, f"{A},xclick,/m/01yrx,1,0,1,0,0.5").replace(b"\n", b"\r"),
    "returns, no header": f"{A},xclick,/m/01yrx,1,0,1,0,0.5\r".encode(),
    "empty lines": table(BOX, "", f"{A},xclick,/m/01yrx,1,0,1,0,0.5", "", ""),
}


@pytest.mark.parametrize("release", RELEASES)
def test_columns_are_known_by_name_and_meaning(tmp_path: Path, release: str) -> None:
    one = source(tmp_path, TARS | {"b.csv": RELEASES[release]}, {"boxes": "b.csv"})
    values = read(one)[A].values
    assert values["boxes"].tolist() == [[0, 0, 40, 5]] and values["labels"].tolist() == [0]
    assert values["occluded"].tolist() == [-1]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (FLAGS.replace("IsOccluded", "XMin"), "the column xmin is there twice"),
        (FLAGS.replace("IsOccluded", "image-id"), "the column image is there twice"),
        (FLAGS.replace("IsOccluded", "Wat"), "no column isoccluded; .* got 'the unknown Wat'"),
    ],
)
def test_a_column_twice_or_unknown_in_the_place_of_a_flag_is_refused(
    tmp_path: Path, flags: str, says: str
) -> None:
    data = table(f"{BOX},{flags}", f"{A},xclick,/m/01yrx,1,0,1,0,0.5,0,0,1,1,0")
    one = source(tmp_path, TARS | {"b.csv": data}, FROM_B)
    with pytest.raises(DataError, match=says):
        openimages.table(one)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a table"),
        (b"<!DOCTYPE html><html>\n", "no column"),
        (table("ImageID,LabelName", A), "no column xmin"),
        (table("", f"{A},1,2"), "unknown release"),
        (b"\0" * 100, "not a table"),
    ],
)
def test_what_is_no_table_of_boxes_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    one = source(tmp_path, TARS | {"b.csv": data}, {"boxes": "b.csv"})
    with pytest.raises(DataError, match=says):
        openimages.table(one)
