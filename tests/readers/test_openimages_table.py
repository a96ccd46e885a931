"""Tables of Open Images that lie in archives, or are compressed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dsets.errors import DataError
from dsets.readers import openimages
from tests.readers.tiny_openimages import BOX, FROM_B, GOOD, TARS, A, packed, read, source, table


@pytest.mark.parametrize("compressed", [True, False])
def test_tables_of_the_first_releases_are_read_in_their_archives(
    tmp_path: Path, compressed: bool
) -> None:
    human = GOOD.replace("xclick", "human")
    names = {
        "2017_07/test/annotations-human-bbox.csv": table(BOX, "nonsense"),
        "2017_07/train/._annotations-human-bbox.csv": b"a Mac's",
        "2017_07/train/annotations-human-bbox.csv": table(BOX, human, human),
        "2017_07/validation/annotations-human-bbox.csv": table(BOX),
    }
    files = TARS | {"b.tgz": packed(names, compressed)}
    one = source(tmp_path, files, {"boxes": "b.tgz"})
    values = read(one)[A].values
    assert values["boxes"].tolist() == [[0, 0, 40, 5]] * 2
    assert values["sources"].tolist() == [6, 6]
    bad = dict(names, **{"2017_07/train/annotations-human-bbox.csv": table(BOX, human, human[1:])})
    (tmp_path / "b.tgz").write_bytes(packed(bad, compressed))
    with pytest.raises(DataError, match=r"train/annotations-human-bbox\.csv, line 3: bad image id"):
        openimages.table(one)
    (tmp_path / "b.tgz").write_bytes(packed(names | {"x/train/b.csv": table(BOX)}, compressed))
    with pytest.raises(DataError, match="two tables of train"):
        openimages.table(one)
    del names["2017_07/train/annotations-human-bbox.csv"]
    (tmp_path / "b.tgz").write_bytes(packed(names, compressed))
    with pytest.raises(DataError, match=r"no table of train.*got 2017_07/test"):
        openimages.table(one)
    whole = packed({"train/b.csv": table(BOX, *[human] * 50_000)}, compressed)
    (tmp_path / "b.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut short"):
        openimages.table(one)


def test_a_gzipped_table_is_read(tmp_path: Path) -> None:
    one = source(tmp_path, TARS | {"b.csv": gzip.compress(table(BOX, GOOD))}, FROM_B)
    assert read(one)[A].values["boxes"].tolist() == [[0, 0, 40, 5]]
