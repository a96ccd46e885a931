"""Loose pictures of ImageNet, in folders that were adopted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dsets import verify
from dsets.errors import DataError
from dsets.manifest import Source
from dsets.readers import imagenet
from tests.readers import tiny_imagenet as tiny


def loose(root: Path) -> Source:
    listing = tiny.folder(root / "train", tiny.pictures(tiny.TRAIN))
    return tiny.source(root, {"train.listing": listing}, layout="listing")


def problems(source: Source) -> dict[str, str]:
    found = imagenet.samples(source, range(5))
    return {sample.key: str(sample.problem) for sample in found if sample.problem}


def test_a_loose_file_with_other_bytes_is_a_problem_of_its_sample_alone(tmp_path: Path) -> None:
    source = loose(tmp_path)
    assert problems(source) == {}
    path = tmp_path / "train" / "n01440764_10026.JPEG"
    good = path.read_bytes()
    for content in (good[:-1] + b"x", good + b"x" * 999, b""):
        path.write_bytes(content)
        assert problems(source) == {path.stem: "not the bytes that were adopted"}
        (found,) = (one for one in imagenet.samples(source, range(5)) if one.problem)
        assert found.values["image"] == content[: len(good) + 1]
    report = verify.samples(source)
    assert not report.ok and any("not the bytes" in check.message for check in report.checks)


@pytest.mark.parametrize(
    "replace",
    [lambda path: None, Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)],
    ids=["gone", "folder", "pipe", "loop"],
)
def test_a_loose_file_that_cannot_be_read_is_a_problem_of_its_sample_alone(
    tmp_path: Path, replace: Callable[[Path], object]
) -> None:
    source = loose(tmp_path)
    path = tmp_path / "train" / "n01440764_10026.JPEG"
    path.unlink()
    replace(path)
    assert problems(source) == {path.stem: "the file is missing or cannot be read"}


def test_a_listed_folder_that_is_gone_is_no_problem_of_its_pictures(tmp_path: Path) -> None:
    source = loose(tmp_path)
    assert problems(source) == {}
    (tmp_path / "train").rename(tmp_path / "unmounted")
    with pytest.raises(DataError, match=r"train: cannot be read .*; adopt the folder again"):
        problems(source)


def test_the_folder_of_a_listing_may_be_a_link(tmp_path: Path) -> None:
    source = loose(tmp_path / "store")
    shutil.move(tmp_path / "store" / "train", tmp_path / "elsewhere")
    (tmp_path / "store" / "train").symlink_to(tmp_path / "elsewhere")
    assert len(tiny.keys_and_bytes(source)) == 3
