"""Labels of ImageNet's numbered pictures, by the number in the name: archives may hold any part."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dsets import verify
from dsets.errors import DataError, ManifestError
from dsets.readers import imagenet
from tests.readers import tiny_imagenet as tiny


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("truth", tiny.devkit()),
        ("truth", gzip.decompress(tiny.devkit())),
        ("truth", tiny.GROUND_TRUTH),
        ("truth", tiny.GROUND_TRUTH.replace(b"\n", b"\r\n")),
        ("solution", tiny.SOLUTION),
    ],
)
def test_labels_of_numbered_pictures_come_from_what_was_published(
    tmp_path: Path, kind: str, content: bytes
) -> None:
    source = tiny.val(tmp_path, content, kind)
    table = imagenet.table(source)
    assert table["key"].tolist() == list(tiny.VAL)
    assert table["label"].tolist() == list(tiny.VAL_LABELS)
    assert table["ilsvrc_id"].tolist() == [tiny.IDS[label] for label in tiny.VAL_LABELS]
    assert verify.samples(source).ok


def test_folders_called_after_classes_need_no_development_kit(tmp_path: Path) -> None:
    members = {
        f"val/{tiny.WNIDS[label]}/{key}.JPEG": tiny.picture(key)
        for key, label in zip(tiny.VAL, tiny.VAL_LABELS, strict=True)
    }
    source = tiny.of(tmp_path, members, "val", labels="folder")
    assert imagenet.table(source)["label"].tolist() == list(tiny.VAL_LABELS)

    source = tiny.of(tmp_path, tiny.pictures(tiny.VAL), "val", labels="folder")
    with pytest.raises(DataError, match="is in no folder of a class"):
        imagenet.table(source)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (tiny.devkit(b"449\n0\n"), "bad line 2; expected an ILSVRC id, 1 to 449, got '0'"),
        (tiny.devkit(b"449\n3\n"), "bad line 2"),
        (tiny.devkit(b"449\n-2\n"), "bad line 2"),
        (tiny.devkit(b"449\n" + b"9" * 5000), "bad line 2"),
        (tiny.devkit(b"449\n193\n449\n"), "no label for ILSVRC2012_val_00000007"),
        (tiny.devkit("449\n²\n".encode()), "not plain text"),
        (gzip.compress(tiny.tar({"readme.txt": b"x"})), "no ground truth in the archive"),
        (tiny.devkit()[:-20], "cut short"),
        (b"<html>", "bad line 1"),
    ],
)
def test_a_bad_ground_truth_is_refused(tmp_path: Path, truth: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        imagenet.table(tiny.val(tmp_path, truth))


@pytest.mark.parametrize(
    ("solution", "message"),
    [
        (tiny.SOLUTION[10:], "not Kaggle's solution"),
        (tiny.SOLUTION.replace(b"_00000007", b"_00000003"), "bad line"),
        (tiny.SOLUTION.replace(b"n02105855", b"n99999999"), "bad line 3"),
        (tiny.SOLUTION.replace(b"_val_00000007", b"_test_00000007"), "bad line 2"),
        (tiny.SOLUTION.replace(b",n02105855 1 2 3 4 ", b""), "bad line 3"),
        (tiny.SOLUTION.partition(b"ILSVRC2012_val_00000003")[0], "no label for"),
    ],
)
def test_a_bad_solution_is_refused(tmp_path: Path, solution: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        imagenet.table(tiny.val(tmp_path, solution, "solution"))


def test_the_ground_truth_of_validation_labels_no_test_picture(tmp_path: Path) -> None:
    files = {"t.tar": tiny.tar(tiny.pictures(tiny.TEST)), "kit": tiny.devkit()}
    source = tiny.source(tmp_path, files, "test", truth="kit")
    with pytest.raises(DataError, match="labels of validation pictures"):
        imagenet.table(source)


def test_withheld_labels_are_minus_one_and_pass_verification(tmp_path: Path) -> None:
    members = tiny.pictures(tiny.TEST, "test/")
    source = tiny.of(tmp_path, members, "test", withheld=["label", "ilsvrc_id"])
    table = imagenet.table(source)
    assert table["key"].tolist() == list(tiny.TEST)
    assert table["label"].tolist() == table["ilsvrc_id"].tolist() == [-1, -1]
    assert table["wnid"].isna().all()
    report = verify.samples(source)
    assert report.ok
    assert {c.name: c.message for c in report.checks}["label"] == "withheld, so -1 in each sample"


def test_labels_are_not_silently_absent(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="nothing says which classes"):
        imagenet.table(tiny.of(tmp_path, tiny.pictures(tiny.TEST), "test"))
