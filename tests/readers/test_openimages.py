"""The reader of Open Images: tables of every release joined to pictures in tars, and refusals."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import re
import signal
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsets import adopt, manifest, pipeline, store, verify
from dsets.archive import gzindex
from dsets.codecs import rle
from dsets.errors import AbsentError, DataError, ManifestError
from dsets.field import Field
from dsets.manifest import File, Source, Split
from dsets.readers import Sample, _grouped, _openimages_csv, _openimages_index, openimages
from dsets.readers._grouped import Grouped
from dsets.readers._openimages_options import FIELDS
from tests.readers import raw

REAL = Path(__file__).parents[3] / "shared" / "data" / "openimages"
A, B, C = "00000000000000a1", "00000000000000b2", "f0000000000000c3"
CLASSES, MIDS = ("Cat", "Dog"), ("/m/01yrx", "/m/0bt9lr")
BOX = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
FLAGS = "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
LABEL = "ImageID,Source,LabelName,Confidence"


def jpeg(width: int = 20, height: int = 10) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 90)).save(out, "JPEG")
    return out.getvalue()


def tar(names: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        root = tarfile.TarInfo("/")
        root.type = tarfile.DIRTYPE
        archive.addfile(root)
        for name, data in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def table(head: str, *rows: str) -> bytes:
    return "\n".join([head, *rows, ""] if head else [*rows, ""]).encode()


FROM_B = {"boxes": "b.csv"}
TARS = {
    "train_0.tar": tar({f"train_0/{B}.jpg": jpeg(), f"train_0/{A}.jpg": jpeg(40, 10)}),
    "train_f.tar": tar({f"test/{C}.jpg": jpeg(), "test/notes.txt": b"?"}),
}
BOXES = table(
    f"{BOX},{FLAGS}",
    f"{A},xclick,/m/0bt9lr,1,0.25,0.5,0,1,-1,1,0,-1,1",
    f"{C},other,/m/01yrx,1,0,1,0,0.5,0,0,1,1,-1",
    f"{A},activemil,/m/01yrx,0.5,0,0.1,0,0.1,,0,0,0,0",
    f"{'9' * 16},xclick,/m/01yrx,1,0,1,0,1,0,0,0,0,0",
)


def source(
    root: Path, files: Mapping[str, bytes], options: Mapping[str, Any], *fields: str
) -> Source:
    """A split of these files; what an option names in a list is optional."""
    for name, data in files.items():
        (root / name).write_bytes(data)
    images = [name for name in files if ".tar" in name]
    named = [value for value in options.values() if isinstance(value, str) and value in files]
    wanted = fields or ("image", "boxes", "labels", "occluded", "group_of", "sources")
    split = Split(
        "train", 3, (*images, *named), True, {"images": images, "mids": MIDS} | dict(options)
    )
    made = [
        Field(name, *FIELDS[name], classes=CLASSES if name == "labels" else ())
        for name in dict.fromkeys(("image", "labels", *wanted))
    ]
    known = [*files, *(n for v in options.values() if isinstance(v, list) for n in v)]
    listed = [File(name) for name in dict.fromkeys(known)]
    return Source(raw.manifest_of("openimages", listed, [split], made), split, root)


def read(one: Source) -> dict[str, Sample]:
    openimages.check(one)
    rows = range(len(openimages.table(one)))
    return {sample.key: sample for sample in openimages.samples(one, rows)}


def test_boxes_are_joined_to_pictures_wherever_they_lie(tmp_path: Path) -> None:
    one = source(tmp_path, TARS | {"b.csv": BOXES}, {"boxes": "b.csv"})
    found = openimages.table(one)
    assert found["key"].tolist() == [B, A, C]  # as they lie in the archives
    assert [list(keys) for keys in openimages.keys(one)] == [[B, A, C]]
    assert found["boxes"].tolist() == [0, 2, 1]  # a picture without boxes is kept
    assert found.attrs["absent"] == {"boxes": (1, 1, "9" * 16)}
    samples = read(one)
    two = samples[A].values
    assert two["image"] == jpeg(40, 10)
    assert two["boxes"].tolist() == [[10, 0, 20, 10], [0, 0, 4, 1]]
    assert two["labels"].tolist() == [1, 0] and two["sources"].tolist() == [2, 0]
    assert two["occluded"].tolist() == [-1, -1] and two["group_of"].tolist() == [0, 0]
    assert samples[C].values["group_of"].tolist() == [1]
    assert samples[C].values["sources"].tolist() == [-1]
    assert samples[B].values["boxes"].shape == (0, 4)


@pytest.mark.parametrize("spacing", [1 << 17, 1 << 26])
def test_compressed_archives_are_read_by_offset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spacing: int
) -> None:
    monkeypatch.setattr(gzindex, "SPACING", spacing)
    random = np.random.default_rng(1)
    pictures = {f"{i:016x}": random.bytes(30_000) for i in range(20)}
    archive = gzip.compress(tar({f"t/{key}.jpg": data for key, data in pictures.items()}))
    files = {"t.tar.gz": archive, "b.csv": table(BOX)}
    one = source(tmp_path, files, {"boxes": "b.csv"}, "image")
    rows = [19, 3, 0, 12]
    assert len(openimages.table(one)) == 20
    found = list(openimages.samples(one, rows))
    assert [s.values["image"] == pictures[s.key] for s in found] == [True] * 4
    assert all(s.problem for s in found)  # random bytes have no size
    (tmp_path / "t.tar.gz").write_bytes(archive[: len(archive) // 2])
    with pytest.raises(DataError, match="cut short"):
        openimages.table(one)


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


GOOD = f"{A},xclick,/m/01yrx,1,0,1,0,0.5"


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


@pytest.mark.parametrize("piece", [1, 2, 1 << 18])
def test_a_line_is_counted_across_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(_openimages_csv, "PIECE", piece)
    rows = [GOOD] * 6 + [GOOD.replace("0.5", "x")]
    one = source(tmp_path, TARS | {"b.csv": table(BOX, *rows)}, {"boxes": "b.csv"})
    with pytest.raises(DataError, match=r"b\.csv, line 8"):
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


def packed(names: Mapping[str, bytes], compressed: bool) -> bytes:
    return gzip.compress(tar(names)) if compressed else tar(names)


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


ROTATED = "ImageID,Subset,Title,Rotation"


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


def test_a_row_that_ends_too_soon_is_refused_among_titles_with_commas(tmp_path: Path) -> None:
    rows = [f'{A},train,"a, b\nc",90.0', f"{B},train,x,", f"{C},train"]
    one = source(
        tmp_path, TARS | {"r.csv": table(ROTATED, *rows)}, {"rotation": ["r.csv"]}, "rotation"
    )
    with pytest.raises(DataError, match=r"r\.csv, line 5: .*expected 4 columns, got 2"):
        openimages.table(one)


def masks(name: str = f"{A}_m0bt9lr_1a2b3c4d.png") -> bytes:
    mask = np.zeros((20, 20), np.uint8)  # of another size than the picture, 10 x 40
    mask[:10, :10] = 255
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, png(mask))
    return out.getvalue()


def test_masks_are_stretched_to_their_picture(tmp_path: Path) -> None:
    fields = ("image", "boxes", "labels", "crowd", "mask", "mask_ends")
    options = {"masks": ["m.zip"], "without_objects": "drop"}
    one = source(tmp_path, TARS | {"m.zip": masks()}, options, *fields)
    ((key, sample),) = read(one).items()
    values = sample.values
    assert key == A and values["labels"].tolist() == [1]
    assert values["boxes"].tolist() == [[0, 0, 20, 5]]
    (mask,) = rle.masks(values["mask"], values["mask_ends"], (10, 40))
    assert mask.sum() == 100 and mask[:5, :20].all()
    made: Any = pipeline.load("segmentation16").make(sample)
    assert made["class_mask"].dtype == np.uint16 and set(np.unique(made["class_mask"])) == {0, 2}


@pytest.mark.parametrize(
    ("name", "says"),
    [(f"{A}_mzz_1.png", "a class that is none"), ("x.png", "no masks")],
)
def test_a_strange_mask_is_refused(tmp_path: Path, name: str, says: str) -> None:
    one = source(tmp_path, TARS | {"m.zip": masks(name)}, {"masks": ["m.zip"]}, "mask", "mask_ends")
    with pytest.raises(DataError, match=says):
        openimages.table(one)


DAMAGES = {
    "cut": "mask: not a readable image",
    "junk": "mask: not a readable image",
    "empty": "mask: not a readable image",
    "changed": "mask: the zip member is damaged",
}


def damaged(data: bytes, how: str) -> bytes:
    return {"cut": data[: len(data) // 2], "junk": b"junk", "empty": b""}.get(how, data)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_mask_is_the_problem_of_its_picture_alone(tmp_path: Path, how: str) -> None:
    whole = png(np.full((20, 20), 255, np.uint8))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in (f"{B}_m01yrx_1.png", f"{A}_m01yrx_1.png", f"{C}_m01yrx_1.png"):
            archive.writestr(name, whole)
        bad = f"{A}_m0bt9lr_1a2b3c4d.png"
        archive.writestr(bad, damaged(whole, how))
        begin = archive.getinfo(bad).header_offset + 30 + len(bad)
    zipped = bytearray(out.getvalue())
    if how == "changed":
        zipped[begin + 45] ^= 1
    fields = ("image", "boxes", "labels", "mask", "mask_ends")
    one = source(tmp_path, TARS | {"m.zip": bytes(zipped)}, {"masks": ["m.zip"]}, *fields)
    found = read(one)
    assert list(found) == [B, A, C]
    problem = found[A].problem
    assert problem and str(problem) == DAMAGES[how]
    assert found[A].values == {"image": jpeg(40, 10)}
    assert f"m.zip: {A}_m0bt9lr: {DAMAGES[how]}" in found[A].remark
    assert all(found[key].problem is None and len(found[key].values["boxes"]) for key in (B, C))
    checks = [check for check in verify.samples(one).checks if not check.ok]
    assert [(check.name, check.message) for check in checks] == [("samples", found[A].remark)]


def test_masks_of_pictures_that_are_not_here_are_none(tmp_path: Path) -> None:
    zipped = masks(f"{'9' * 16}_m01yrx_1.png")
    one = source(tmp_path, TARS | {"m.zip": zipped}, {"masks": ["m.zip"]}, "mask", "mask_ends")
    with pytest.raises(AbsentError, match="no mask of any picture"):
        openimages.table(one)


def test_archives_that_are_not_here_are_named(tmp_path: Path) -> None:
    one = source(tmp_path, TARS | {"b.csv": BOXES}, {"boxes": "b.csv"})
    (tmp_path / "train_f.tar").unlink()
    with pytest.raises(DataError, match=r"1 of 2 archives are not here.*train_f\.tar"):
        openimages.table(one)


def test_a_picture_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    twice = {"x.tar": tar({f"x/{A}.jpg": jpeg()})}
    one = source(tmp_path, TARS | twice | {"b.csv": BOXES}, {"boxes": "b.csv"})
    with pytest.raises(DataError, match=rf"{A} is there twice"):
        openimages.table(one)


@pytest.mark.parametrize(
    "options",
    [
        {"boxes": "nobody.csv"},
        {"boxes": "b.csv", "mids": ("/m/01yrx",)},
        {"boxes": "b.csv", "mids": ("cat", "dog")},
        {"boxes": "b.csv", "subclasses": ("cat",)},
        {"boxes": "b.csv", "subclasses": {"cow": ("cat",)}},
        {"boxes": "b.csv", "subclasses": {"Cat": ("cow",)}},
        {"boxes": "b.csv", "subclasses": {"Cat": "Dog"}},
        {"boxes": "b.csv", "masks": ["b.csv"]},
        {"boxes": "b.csv", "without_objects": "perhaps"},
        {"boxes": "b.csv", "colour": "red"},
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    one = source(tmp_path, TARS | {"b.csv": BOXES}, {"boxes": "b.csv"} | options)
    with pytest.raises(ManifestError, match="bad option"):
        openimages.check(one)


def test_the_index_is_kept_and_made_anew_when_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = source(tmp_path, TARS | {"b.csv": BOXES}, {"boxes": "b.csv"})
    assert openimages.table(one)["boxes"].sum() == 3
    with monkeypatch.context() as patch:
        patch.setattr(_openimages_index, "_made", None)
        _openimages_index._OPEN.clear()
        assert read(one)[A].values["labels"].tolist() == [1, 0]  # from the store
    (tmp_path / "b.csv").write_bytes(table(BOX, GOOD))
    assert openimages.table(one)["boxes"].sum() == 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**31 - 1)), max_size=60),
    st.integers(1, 4),
)
def test_records_come_out_in_the_samples_order_and_keep_their_own(
    pairs: list[tuple[int, int]], parts: int
) -> None:
    dtype = np.dtype([("row", "<i4"), ("value", "<i8", (2,))])
    grouped = Grouped(dtype, 10, 7 * _grouped.BUCKET_BYTES, None)
    records = np.array([(row, (value, value)) for row, value in pairs], dtype)
    for some in np.array_split(records, parts):
        grouped.add(some)
    ends, columns = grouped.finish()
    expected = sorted(pairs, key=lambda pair: pair[0])  # stable
    assert columns["value"][:, 0].tolist() == [value for _, value in expected]
    assert np.diff(ends, prepend=0).tolist() == [sum(r == i for r, _ in pairs) for i in range(10)]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_a_table_larger_than_the_memory_that_a_process_may_have(tmp_path: Path) -> None:
    """The rows as Python objects, or the file in memory, would not fit."""
    one = source(tmp_path, TARS | {"b.csv": b""}, {"boxes": "b.csv"})
    block = (f"{A},xclick,/m/01yrx,1,0.25,0.75,0.25,0.75\n" * 20_000).encode()
    with (tmp_path / "b.csv").open("wb") as file:
        file.write(f"{BOX}\n".encode())
        for _ in range(100):
            file.write(block)

    (tmp_path / "source").write_bytes(pickle.dumps(one))
    code = """
        import pickle, resource, sys
        import numpy, pandas
        from dsets.readers import openimages
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + (150 << 20),) * 2)
        one = pickle.loads(open(sys.argv[1], "rb").read())
        print(openimages.table(one)["boxes"].sum())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "source")],
        capture_output=True,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.stdout.strip() == "2000000", done.stderr


INDEXING = """
    import os, pickle, signal, sys
    from dsets import atomic
    from dsets.readers import _grouped, _openimages_csv, openimages

    _openimages_csv.PIECE = 1000

    def die(*given):
        os.kill(os.getpid(), signal.SIGKILL)

    class Dying(_grouped.Grouped):
        adds = 0

        def add(self, records):
            super().add(records)
            Dying.adds += 1
            if Dying.adds == 3:
                die()

    if sys.argv[2] == "joining":
        from dsets.readers import _openimages_annotations
        _openimages_annotations.Grouped = Dying
    if sys.argv[2] == "naming":
        os.replace = die
    print(openimages.table(pickle.loads(open(sys.argv[1], "rb").read()))["boxes"].sum())
"""


@pytest.mark.parametrize("moment", ["joining", "naming"])
def test_an_index_whose_maker_was_killed_is_made_whole_by_the_next(
    tmp_path: Path, moment: str
) -> None:
    raws = tmp_path / "raw"
    raws.mkdir()
    one = source(raws, TARS | {"b.csv": table(BOX, *[GOOD] * 6_000)}, FROM_B)
    (tmp_path / "source").write_bytes(pickle.dumps(one))
    index = store.index(one.manifest.name)

    def run(when: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", textwrap.dedent(INDEXING), str(tmp_path / "source"), when]
        return subprocess.run(command, capture_output=True, text=True)

    for _ in range(3):
        assert run(moment).returncode == -signal.SIGKILL
        left = sorted(path.name for path in index.iterdir() if path.stat().st_size)
        assert len(left) == (moment == "naming") and not list(index.glob("*.columns"))
    done = run("")
    assert done.stdout.strip() == "6000", done.stderr
    assert [path.suffix for path in index.iterdir() if path.stat().st_size] == [".columns"]
    assert openimages.table(one)["boxes"].sum() == 6_000


@pytest.mark.skipif(not REAL.is_dir(), reason="no Open Images miniature here")
def test_an_outsiders_miniature_is_adopted_and_read() -> None:
    official = manifest.find("openimages-v4")
    done = adopt.adopt(adopt.plan(official, [REAL]), unverified=True)
    counts = {split.name: split.samples for split in done.splits}
    assert counts == {"train": 512, "validation": 12, "test": 36}
    for name, (boxes, humans, without) in {
        "train": (2600, 2531, 47),
        "validation": (66, 54, 2),
        "test": (151, 150, 7),
    }.items():
        one = Source(done.manifest, done.manifest.split(name), store.raw("openimages-v4"))
        found = openimages.table(one)
        assert len(found) == counts[name] and found["boxes"].sum() in (boxes, boxes + 1)
        assert abs(int(found["human_labels"].sum()) - humans) <= 1
        assert int((found["boxes"] == 0).sum()) == without
        assert not found.attrs["absent"]
        for sample in openimages.samples(one, range(len(found))):
            assert sample.problem is None and (sample.values["labels"] >= 0).all()


def in_force(name: str, folder: Path, files: Mapping[str, bytes]) -> dict[str, Source]:
    """The splits of a dataset of ours, of these files, adopted."""
    folder.mkdir()
    for one, data in files.items():
        (folder / one).write_bytes(data)
    official = manifest.find(name)
    done = adopt.adopt(adopt.plan(official, [folder]), unverified=True)
    return {
        split.name: Source(done.manifest, done.manifest.split(split.name), store.raw(name))
        for split in done.splits
    }


TRAIN = {
    f"train_{digit:x}.tar.gz": tar({f"train_{digit:x}/{digit:x}{'0' * 15}.jpg": jpeg()})
    for digit in range(16)
}
KEY = "3" + "0" * 15


def test_points_of_the_seventh_release_are_adopted_and_read(tmp_path: Path) -> None:
    points = table(
        "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes",
        f"{KEY},0.5,0.5,/m/01yrx,yes,ih,1,0,0",
    )
    files = {
        "oidv6-train-annotations-bbox.csv": table(BOX, f"{KEY},xclick,/m/01yrx,1,0,1,0,1"),
        "oidv7-train-annotations-point-labels.csv": points,
        "oidv7-train-annotations-human-imagelabels.csv": table(LABEL, f"{KEY},human,/m/0zz,1"),
    }
    (one,) = in_force("openimages-v7", tmp_path / "mine", TRAIN | files).values()
    values = read(one)[KEY].values
    assert values["points"].tolist() == [[10, 5]] and values["point_answers"].tolist() == [1]
    cat = manifest.find("openimages-v7").fields
    labels = next(field.classes for field in cat if field.name == "labels")
    assert values["point_labels"].tolist() == [labels.index("Cat")]
    assert values["human_labels"].tolist() == [-1] and values["labels"].tolist() != [-1]


@pytest.mark.parametrize(
    ("name", "month"), [("openimages-v2", "2017_07"), ("openimages-v3", "2017_11")]
)
def test_releases_of_2017_are_adopted_and_read(tmp_path: Path, name: str, month: str) -> None:
    boxes = {
        f"{month}/{split}/annotations-human-bbox.csv": table(BOX, f"{key},human,/m/01yrx,1,0,1,0,1")
        for split, key in {"train": KEY, "validation": A, "test": B}.items()
    }
    humans = {
        f"{month}/{split}/annotations-human.csv": table(LABEL, f"{A},human,/m/01yrx,0")
        for split in ("train", "validation", "test")
    }
    files = {
        "validation.tar.gz": tar({f"validation/{A}.jpg": jpeg()}),
        f"annotations_human_bbox_{month}.tar.gz": packed(boxes, True),
        f"annotations_human_{month}.tar.gz": packed(humans, True),
    }
    splits = in_force(name, tmp_path / "mine", TRAIN | files)
    assert sorted(splits) == ["train", "validation"]
    assert [len(s.values["labels"]) for s in read(splits["train"]).values()] == [0] * 3 + [1] + [
        0
    ] * 12
    values = read(splits["validation"])[A].values
    assert values["boxes"].tolist() == [[0, 0, 20, 10]] and values["occluded"].tolist() == [-1]
    assert values["human_confidences"].tolist() == [0]


def test_the_first_release_is_adopted_and_read(tmp_path: Path) -> None:
    people = table(LABEL, f"{A},human,/m/01yrx,1", f"{B},human,/m/0zz,0")
    files = {
        "validation.tar.gz": tar({f"validation/{A}.jpg": jpeg()}),
        "test.tar.gz": tar({f"test/{B}.jpg": jpeg()}),
        "human_ann_2016_08_v3.tar.gz": packed(
            {"human_ann_2016_08/validation/labels.csv": people}, True
        ),
    }
    (one,) = in_force("openimages-v1", tmp_path / "mine", files).values()
    samples = read(one)
    assert [s.values["human_confidences"].tolist() for s in samples.values()] == [[1], [0]]
    values = samples[B].values
    assert rle.split(values["human_mids"], values["human_mid_ends"]) == [b"/m/0zz"]


def test_what_is_missing_after_an_adoption_stands_in_the_order_of_the_splits(
    tmp_path: Path,
) -> None:
    (tmp_path / "validation.tar.gz").write_bytes(tar({f"validation/{A}.jpg": jpeg()}))
    (tmp_path / "validation-annotations-bbox.csv").write_bytes(table(BOX))
    (tmp_path / "test-annotations-bbox.csv").write_bytes(table(BOX))
    official = manifest.find("openimages-v4")
    done = adopt.adopt(adopt.plan(official, [tmp_path]), unverified=True)
    names = list(dict.fromkeys(lack.split for lack in done.lacks))
    assert names == ["train", "validation", "test"]
