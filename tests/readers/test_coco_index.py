"""The index of a COCO split: kept, and what it remarks of annotations that no image has."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from dsets.errors import AbsentError
from dsets.readers import _coco_index, coco
from tests.readers.tiny_coco import annotation, bad_of, instances, jsons, read, source


def test_the_second_reading_comes_from_the_index(tmp_path: Path) -> None:
    before = read(source(tmp_path, jsons()))
    _coco_index._OPEN.clear()
    again = read(source(tmp_path, jsons()))
    for one, other in zip(before, again, strict=True):
        assert one.key == other.key
        for name, value in one.values.items():
            assert np.array_equal(np.asarray(value), np.asarray(other.values[name])), name


def test_a_strange_visibility_and_an_id_of_two_annotations_are_remarked(tmp_path: Path) -> None:
    points = [1, 1, 9] + [0] * 48
    given = instances(annotation(1, 3), annotation(1, 7, keypoints=points), annotation(2, 7))
    one = source(tmp_path, given, keypoints=None)
    for _ in range(2):
        first, second = read(one)[:2]
        assert first.problem is None and not first.remark and second.problem is None
        assert second.remark == "a keypoint's visibility is 9, not 0, 1 or 2"
        (remark,) = coco.remarks(one)
        assert remark.endswith(
            "instances_val.json: 1 ids are of several annotations; the first is 1"
        )
        _coco_index._OPEN.clear()


def test_annotations_of_no_image_are_counted(tmp_path: Path) -> None:
    given = instances(annotation(1, 3), annotation(2, 12345), annotation(3, 77, bbox="x"))
    given["captions"]["annotations"] += [{"image_id": 8, "caption": "x"}, {"caption": "of none"}]
    one = source(tmp_path, given)
    for _ in range(2):
        first, second = coco.remarks(one)
        assert re.search("instances_val.json: 2 annotations are of no .* of image 12345", first)
        assert re.search("captions_val.json: 2 annotations are of no image.* of image 8", second)
        assert all(sample.problem is None for sample in read(one))
        _coco_index._OPEN.clear()


def test_a_split_of_which_no_image_has_an_instance_is_absent_and_not_damaged(
    tmp_path: Path,
) -> None:
    given = instances()
    assert len(read(source(tmp_path / "kept", given))) == 3
    with pytest.raises(AbsentError, match=r"instances_val.json: no image has an instance"):
        read(source(tmp_path / "dropped", given, without_annotations="drop"))


def test_captions_of_images_that_are_dropped_are_no_strays(tmp_path: Path) -> None:
    given = bad_of("captions", {"image_id": 9, "caption": "x"})
    one = source(tmp_path, given, without_annotations="drop")
    assert len(read(one)) == 2 and not coco.remarks(one)
