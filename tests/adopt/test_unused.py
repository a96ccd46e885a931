"""A file that only has an official one's name is told what it waits for, and what helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsets import adopt, manifest
from tests.adopt.tinynet import write


@pytest.mark.parametrize(
    ("split", "needs"),
    [
        ("validation", "all of its 2 files"),
        ("train", "train-annotations-bbox.csv and at least one of train_0.tar.gz … train_f.tar.gz"),
    ],
)
def test_an_archive_waits_for_the_boxes_alone(tmp_path: Path, split: str, needs: str) -> None:
    first = manifest.find("openimages-v4").split(split).files[0]
    given = write(tmp_path / "given", {first.removesuffix(".gz"): b"?"})
    note, remedy = adopt.plan(manifest.find("openimages-v4"), [given]).notes
    boxes = f"{split}-annotations-bbox.csv"
    assert f"not used for images of {split} without {boxes}; it is" in note
    assert remedy.startswith(f"{split} needs {needs}, and unofficial ones")
    assert f"'dsets fetch openimages-v4 --split {split}'" in remedy
    assert f"'dsets subset openimages-v4 --split {split} --max 100'" in remedy


def test_boxes_wait_for_one_archive_of_many(tmp_path: Path) -> None:
    official = manifest.find("openimages-v4")
    given = write(tmp_path / "given", {"train-annotations-bbox.csv": b"?"})
    note, remedy = adopt.plan(official, [given]).notes
    assert "without train_0.tar.gz, train_1.tar.gz, train_2.tar.gz and 13 more" in note
    assert "at least one of train_0.tar.gz … train_f.tar.gz" in remedy
    write(given, {"train_3.tar": b"?"})
    plan = adopt.plan(official, [given])
    assert [chosen.split.name for chosen in plan.splits] == ["train"] and not plan.notes


def test_beside_the_others_it_waits_for_nothing(tmp_path: Path) -> None:
    official = manifest.find("openimages-v4")
    files = official.split("validation").files
    given = write(tmp_path / "given", dict.fromkeys(files, b"?"))
    plan = adopt.plan(official, [given])
    assert [chosen.split.name for chosen in plan.splits] == ["validation"] and not plan.notes
