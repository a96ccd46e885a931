"""A shortened archive gives the splits that it holds, and says which it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsets import adopt, manifest
from dsets.errors import AdoptError
from tests.readers import raw
from tests.readers.tiny_voc import members


def shortened(folder: Path, **changes: bytes | None) -> Path:
    folder.mkdir()
    path = folder / "VOCtrainval_06-Nov-2007.tar"
    unlisted = {"ImageSets/Main/train.txt": None, "ImageSets/Layout/train.txt": None}
    path.write_bytes(raw.tar(members(**(unlisted | changes))))
    return path


def test_a_split_that_the_archive_has_not_got_does_not_keep_the_others_out(tmp_path: Path) -> None:
    path = shortened(tmp_path / "have", **{"ImageSets/Main/trainval.txt": b"000001\n000002\n"})
    done = adopt.adopt(adopt.plan(manifest.find("voc2007"), [path]), unverified=True)
    assert [(split.name, split.samples) for split in done.splits] == [("trainval", 2)]
    assert "adopted-VOCtrainval_06-Nov-2007.tar" in done.manifest.part("trainval")
    lacks = {lack.split: lack for lack in done.lacks if lack.what == "samples"}
    assert (lacks["train"].got, lacks["train"].expected) == (0, 2501)
    assert "no image set Main/train" in lacks["train"].purpose
    assert (lacks["trainval"].got, lacks["trainval"].expected) == (2, 5011)


def test_an_archive_that_has_none_of_the_splits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdoptError, match=r"no samples in these files"):
        adopt.adopt(
            adopt.plan(manifest.find("voc2007"), [shortened(tmp_path / "have")]), unverified=True
        )


def test_a_split_of_an_unpublished_number_of_samples_is_counted_or_left_out_without_a_word(
    tmp_path: Path,
) -> None:
    path = shortened(tmp_path / "have", **{"ImageSets/Layout/train.txt": b"000002  2\n"})
    done = adopt.adopt(adopt.plan(manifest.find("voc2007"), [path]), unverified=True)
    assert [(split.name, split.samples) for split in done.splits] == [("layout-train", 1)]
    assert "layout-train" not in {lack.split for lack in done.lacks if lack.what == "samples"}
    assert "layout-val" not in {lack.split for lack in done.lacks if lack.what == "samples"}
