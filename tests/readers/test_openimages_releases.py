"""Releases of Open Images, adopted and read by our own manifests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from dsets import adopt, manifest, store
from dsets.codecs import rle
from dsets.manifest import Source
from dsets.readers import openimages
from tests.readers.tiny_openimages import BOX, LABEL, A, B, jpeg, packed, read, table, tar

REAL = Path(__file__).parents[3] / "shared" / "data" / "openimages"


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
