"""A shortened archive gives the splits that it holds, and says which it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsets import adopt, manifest, prepare
from dsets.errors import AdoptError
from tests.readers import raw, tiny_coco, tiny_voc
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


def test_annotations_of_one_split_of_coco_alone_will_do_for_it(tmp_path: Path) -> None:
    given = tiny_coco.jsons()
    kinds = ("instances", "person_keypoints", "captions")
    files = {
        "annotations_trainval2017.zip": {
            f"annotations/{kind}_train2017.json": json.dumps(given[kind]).encode() for kind in kinds
        }
    }
    for folder in ("train2017", "val2017"):
        pictures = {f"{folder}/{one['file_name']}": b"x" for one in tiny_coco.images()}
        files[f"{folder}.zip"] = pictures
    for name, contents in files.items():
        (tmp_path / name).write_bytes(tiny_coco.packed(contents))
    done = adopt.adopt(adopt.plan(manifest.find("coco2017"), [tmp_path]), unverified=True)
    assert {split.name: split.samples for split in done.splits} == {
        "train": 3,
        "train-annotated": 2,
    }
    lacks = {lack.split: lack.purpose for lack in done.lacks if lack.what == "samples"}
    assert "no instances_val2017.json" in lacks["val"]


def test_where_only_splits_on_request_were_adopted_they_are_what_prepare_makes(
    tmp_path: Path, home: Path
) -> None:
    trainval = {"ImageSets/Main/trainval.txt": b"000001\n000002\n"}
    path = shortened(tmp_path / "have", **trainval, **tiny_voc.PICTURES)
    done = adopt.adopt(adopt.plan(manifest.find("voc2007"), [path]), unverified=True)
    assert [split.name for split in done.manifest.default_splits] == ["trainval"]
    (pack,) = prepare.run(prepare.plan(manifest.current("voc2007")))
    assert pack.samples == 2
