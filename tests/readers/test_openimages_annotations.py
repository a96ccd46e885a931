"""Annotations of Open Images beside boxes: labels, points, relationships, rotation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsets.codecs import rle
from dsets.errors import DataError
from dsets.readers import _openimages_csv, openimages
from tests.readers.tiny_openimages import LABEL, ROTATED, TARS, A, B, C, read, source, table


def test_labels_of_pictures_keep_what_is_no_class_of_objects(tmp_path: Path) -> None:
    human = table(LABEL.replace("f", "d"), f"{A},verification,/m/0bt9lr,1", f"{A},machine,/m/zz,0")
    rotated = table(
        "ImageID,Subset,Title,Rotation", f'{A},train,"a, b",90.0', f"{B},train,x,", f"{C},train,y,0"
    )
    one = source(
        tmp_path,
        TARS | {"h.csv": human, "r.csv": rotated},
        {"human_labels": ["h.csv"], "machine_labels": ["not-here.csv"], "rotation": ["r.csv"]},
        "human_labels",
        "human_mids",
        "human_mid_ends",
        "human_confidences",
        "machine_labels",
        "rotation",
    )
    values = read(one)[A].values
    assert values["human_labels"].tolist() == [1, -1]
    assert values["human_confidences"].tolist() == [1, 0]
    assert rle.split(values["human_mids"], values["human_mid_ends"]) == [b"/m/0bt9lr", b"/m/zz"]
    assert values["machine_labels"].tolist() == []
    rotation = [sample.values["rotation"] for sample in read(one).values()]
    assert rotation[1:] == [90, 0] and np.isnan(rotation[0])
    (tmp_path / "not-here.csv").write_bytes(table(LABEL, f"{A},machine,/m/01yrx,0.5"))
    assert read(one)[A].values["machine_labels"].tolist() == [0]  # the index is made anew


def test_points_have_the_answers_of_people(tmp_path: Path) -> None:
    points = table(
        "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes",
        f"{A},0.5,0.5,/m/01yrx,yes,x,1,0,0",
        f"{A},0,1,/m/01yrx,unsure,x,0,0,1",
        f"{A},1,0,/m/qq,no,x,0,1,0",
    )
    names = ("points", "point_labels", "point_answers")
    one = source(tmp_path, TARS | {"p.csv": points}, {"points": "p.csv"}, *names)
    values = read(one)[A].values
    assert values["points"].tolist() == [[20, 5], [0, 10], [40, 0]]
    assert values["point_labels"].tolist() == [0, 0, -1]
    assert values["point_answers"].tolist() == [1, -1, 0]


def test_the_words_of_a_point_may_hold_commas(tmp_path: Path) -> None:
    head = "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes,TextLabel"
    rows = [f"{A},0.5,0.5,/m/01yrx,yes,ih,1,0,0,cat", f'{A},0,1,/m/01yrx,no,cs,1,0,0,"a, ""b"""']
    named = source(
        tmp_path, TARS | {"p.csv": table(head, *rows)}, {"points": "p.csv"}, "point_answers"
    )
    assert read(named)[A].values["point_answers"].tolist() == [1, 0]
    (tmp_path / "p.csv").write_bytes(table("", *rows))
    assert read(named)[A].values["point_answers"].tolist() == [1, 0]
    (tmp_path / "p.csv").write_bytes(table(head, *rows, rows[1].rpartition(",1,0,0")[0]))
    with pytest.raises(DataError, match=r"p\.csv, line 4.*expected 10 columns, got 6"):
        openimages.table(named)


RELATIONS = (
    "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,"
    "RelationshipLabel"
)


def test_relationships_name_two_objects_or_an_object_and_what_it_is(tmp_path: Path) -> None:
    relations = table(
        RELATIONS,
        f"{A},/m/01yrx,/m/0bt9lr,0,0.5,0,1,0.5,1,0,1,at",
        f"{C},/m/01yrx,/m/083vt,0,1,0,1,0,1,0,1,is",
    )
    kinds = ("boxes", "labels", "mids", "mid_ends", "names", "name_ends")
    one = source(
        tmp_path,
        TARS | {"r.csv": relations},
        {"relationships": "r.csv"},
        *(f"relation_{kind}" for kind in kinds),
    )
    assert openimages.table(one)["relationships"].tolist() == [0, 1, 1]
    samples = read(one)
    values = samples[A].values
    assert values["relation_boxes"].tolist() == [[[0, 0, 20, 10], [20, 0, 40, 10]]]
    assert values["relation_labels"].tolist() == [[0, 1]]
    assert rle.split(values["relation_names"], values["relation_name_ends"]) == [b"at"]
    other = samples[C].values
    assert other["relation_labels"].tolist() == [[0, -1]]
    mids = rle.split(other["relation_mids"], other["relation_mid_ends"])
    assert mids == [b"/m/01yrx", b"/m/083vt"]
    assert samples[B].values["relation_boxes"].shape == (0, 2, 4)
    (tmp_path / "r.csv").write_bytes(relations.replace(b"0.5,1,0,1,at", b"1,0.5,0,1,at"))
    with pytest.raises(DataError, match=r"r\.csv, line 2.*expected xmin2 up to xmax2"):
        openimages.table(one)


def test_a_picture_may_be_told_of_twice_but_not_be_turned_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = [f"{A},train,a,90.0", f"{B},train,,", f"{A},train,b,90", f"{B},train,,"]
    one = source(
        tmp_path, TARS | {"r.csv": table(ROTATED, *same)}, {"rotation": ["r.csv"]}, "rotation"
    )
    assert read(one)[A].values["rotation"] == 90
    for piece in (1, 1 << 18):
        monkeypatch.setattr(_openimages_csv, "PIECE", piece)
        for other in ("180", ""):
            row = f"{A},train,c,{other}"
            (tmp_path / "r.csv").write_bytes(table(ROTATED, *same, row))
            with pytest.raises(DataError, match=r"r\.csv, line 6: .*twice, with another rotation"):
                openimages.table(one)
