"""Patches replace pictures of their names, whatever folders they lie in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dsets.errors import DataError, ManifestError
from dsets.manifest import Source
from dsets.readers import imagenet
from tests.readers import tiny_imagenet as tiny

PATCHED = "n01440764_10"
NEW = b"\xff\xd8\xff\xe0 no longer blank \xff\xd9"
PATCHES = {
    f"patch_images/train/{PATCHED}.JPEG": NEW,
    f"patch_images/val/{tiny.VAL[1]}.JPEG": NEW + b"val",
    "patch_images/readme.txt": b"?",
}


def images(source: Source) -> dict[str, bytes]:
    rows = range(len(imagenet.table(source)))
    return {sample.key: sample.values["image"] for sample in imagenet.samples(source, rows)}


def train(
    folder: Path, patches: dict[str, bytes] | list[tuple[str, bytes]], layout: str = "tar of tars"
) -> Source:
    archive = tiny.tar_of_tars() if layout == "tar of tars" else tiny.tar(tiny.pictures(tiny.TRAIN))
    files = {"train.tar": archive, "patch_images.tar": tiny.tar(patches)}
    return tiny.source(folder, files, layout=layout, patches="patch_images.tar")


@pytest.mark.parametrize("layout", ["tar of tars", "tar"])
def test_a_patch_replaces_the_picture_of_its_name(tmp_path: Path, layout: str) -> None:
    source = train(tmp_path, PATCHES, layout)
    expected = {key: tiny.picture(key) for key in tiny.TRAIN} | {PATCHED: NEW}
    assert images(source) == expected
    table = imagenet.table(source).set_index("key")
    assert table["archive"][PATCHED] == "patch_images.tar"
    assert table["bytes"][PATCHED] == len(NEW)
    assert images(source) == expected  # of the stored index, too


def test_the_patches_of_another_kind_are_for_another_split(tmp_path: Path) -> None:
    files = {"val.tar": tiny.tar(tiny.pictures(tiny.VAL)), "patch_images.tar": tiny.tar(PATCHES)}
    files |= {"ILSVRC2012_validation_ground_truth.txt": tiny.GROUND_TRUTH}
    source = tiny.source(
        tmp_path,
        files,
        "val",
        patches="patch_images.tar",
        truth="ILSVRC2012_validation_ground_truth.txt",
    )
    expected = {key: tiny.picture(key) for key in tiny.VAL} | {tiny.VAL[1]: NEW + b"val"}
    assert images(source) == expected
    assert imagenet.table(source)["label"].tolist() == list(tiny.VAL_LABELS)


def test_a_patch_of_nothing_is_refused_unless_the_archive_is_a_part(tmp_path: Path) -> None:
    source = train(tmp_path, {"train/n01440764_999.JPEG": NEW})
    with pytest.raises(
        DataError, match=r"patch of a picture that is not there \(1 .*n01440764_999"
    ):
        imagenet.table(source)
    files = tuple(replace(file, unverified=True) for file in source.manifest.files)
    part = replace(source, manifest=replace(source.manifest, files=files, digest="0" * 64))
    assert images(part) == {key: tiny.picture(key) for key in tiny.TRAIN}


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        ([(f"a/{PATCHED}.JPEG", NEW), (f"b/{PATCHED}.JPEG", NEW)], "is there twice"),
        ([("train/n99999999_1.JPEG", NEW)], "class that is not in the manifest"),
        ([("../n01440764_10.JPEG", NEW)], "hostile member name"),
    ],
)
def test_hostile_patches_are_refused(
    tmp_path: Path, patches: list[tuple[str, bytes]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        imagenet.table(train(tmp_path, patches))


def test_patches_without_any_for_this_split_change_nothing(tmp_path: Path) -> None:
    source = train(tmp_path, {"readme.txt": b"?"})
    assert images(source) == {key: tiny.picture(key) for key in tiny.TRAIN}


def test_patches_are_declared(tmp_path: Path) -> None:
    source = tiny.source(tmp_path, {"train.tar": tiny.tar_of_tars()}, patches="elsewhere.tar")
    with pytest.raises(ManifestError, match="bad option patches"):
        imagenet.check(source)
