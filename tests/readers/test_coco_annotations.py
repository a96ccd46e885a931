"""COCO's annotations: one that cannot be is the problem of its sample alone, and told in full."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dsets.readers import _coco_index, coco
from tests.readers.tiny_coco import (
    RUNS,
    SEGMENT,
    annotation,
    bad,
    bad_of,
    images,
    instances,
    jsons,
    read,
    source,
)

FAR = [0, 0, 1e12, 0, 1, 1e12]
WRONG: dict[str, tuple[Any, str, str]] = {
    "category": (bad(category_id=2), "an annotation of an unknown category", "1: category 2"),
    "box": (bad(bbox=[0, 0, -1, 1]), "a box of negative size", "-1.0"),
    "box of three": (bad(bbox=[0, 0, 1]), "an annotation cannot be read", "length 4"),
    "box of words": (bad(bbox=["a", 0, 1, 1]), "an annotation cannot be read", "got `str`"),
    "no box": (bad(bbox=None), "an annotation cannot be read", "bbox"),
    "NaN": (bad(bbox=[float("nan"), 0, 1, 1]), "an annotation cannot be read", "got `null`"),
    "infinite": (bad(area=float("-inf")), "an annotation cannot be read", "got `null`"),
    "a huge number": (bad(area=1e300), "a number out of all bounds", "1: 1e.300"),
    "a huge id": (instances(annotation(10**30, 3)), "a number out of all bounds", "1000000"),
    "half a category": (bad(category_id=1.5), "an annotation cannot be read", "1.5 is no whole"),
    "a true category": (bad(category_id=True), "an annotation cannot be read", "got `bool`"),
    "a box left of it": (bad(bbox=[-9, 0, 9, 1]), "a box outside the picture", "6 x 4, got -9, 0"),
    "a box below it": (bad(bbox=[0, 4, 1, 1]), "a box outside the picture", "annotation 1.*0, 4"),
    "broken runs": (bad(segmentation=RUNS | {"counts": [4.5, 7.5, 12]}), "bad run len", "4.5 is"),
    "crowd": (bad(iscrowd=2), "a crowd flag that is neither 0 nor 1", "1: 2"),
    "keypoints": (bad(keypoints=[1, 2, 3]), "keypoints that are not 51 numbers", ": image 3"),
    "huge keypoints": (bad(keypoints=[1e99] * 51), "a number out of all bounds", "1e.99"),
    "a polygon of three numbers": (bad(segmentation=[[1, 2, 3]]), "a polygon that is none", "3"),
    "a polygon of two corners": (bad(segmentation=[[0, 0, 3, 3]]), "a polygon that is none", "4"),
    "no corner": (bad(segmentation=[[]]), "a polygon that is none", "0 numbers"),
    "odd polygon": (bad(segmentation=[[1, 1, 2, 2, 3, 3, 4]]), "a polygon that is none", "7"),
    "polygon leading far away": (bad(segmentation=[FAR]), "a polygon that leads far", "1e.12"),
    "no segmentation": (bad(segmentation="x"), "bad segmentation", "annotation 1.*got `str`"),
    "runs too long": (bad(segmentation=RUNS | {"counts": [4, 2**40]}), "bad run lengths", "4 x 6"),
    "negative runs": (bad(segmentation=RUNS | {"counts": [30, -6]}), "bad run lengths", "4 x 6"),
    "packed runs that lie": (bad(segmentation=RUNS | {"counts": "oooo0"}), "bad run lengths", ""),
    "another size": (bad(segmentation=RUNS | {"size": [6, 4]}), "a mask of another size", "6, 4"),
    "no size": (
        jsons(instances={"images": [images()[1] | {"width": 10**6, "height": 10**6}, images()[2]]}),
        *("the JSON gives an image no possible size", "width 1000000, height 1000000"),
    ),
    "a width in words": (
        jsons(instances={"images": [images()[1] | {"width": "6"}, images()[2]]}),
        *("the JSON gives an image no possible size", "width '6', height 4"),
    ),
    "half a pixel": (
        jsons(instances={"images": [images()[1] | {"width": 6.5}, images()[2]]}),
        *("the JSON gives an image no possible size", "width 6.5, height 4"),
    ),
    "caption": (
        bad_of("captions", {"image_id": 3, "caption": 5}),
        *("an annotation cannot be read", "captions_val.json: image 3.*got `int`"),
    ),
    "person": (
        bad_of("person_keypoints", annotation(1, 3, keypoints="x")),
        *("an annotation cannot be read", "person_keypoints_val.json: image 3"),
    ),
    "stuff": (
        bad_of("stuff", annotation(5, 3, category_id=92, segmentation=[[1]])),
        *("a polygon that is none", "annotation 5"),
    ),
    "segment": (
        bad_of("panoptic", {"image_id": 3, "file_name": "007.png", "segments_info": [5]}),
        *("an annotation cannot be read", "panoptic_val.json: image 3"),
    ),
    "no map": (
        bad_of("panoptic", {"image_id": 3, "file_name": "3.png", "segments_info": [SEGMENT]}),
        *("the panoptic map is not there", "3.png"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_bad_annotation_is_the_problem_of_its_sample(tmp_path: Path, case: str) -> None:
    given, reason, detail = WRONG[case]
    one = source(tmp_path, given)
    for _ in range(2):  # the second time from the index that was kept
        first, second = read(one)[:2]
        assert str(first.problem).startswith(reason) and str(tmp_path) not in str(first.problem)
        assert first.key == "003" and dict(first.values) == {"image": b"picture 3"}
        assert str(tmp_path) in first.remark and re.search(detail, first.remark), first.remark
        assert second.problem is None and not second.remark and second.key == "007"
        assert not coco.remarks(one)
        _coco_index._OPEN.clear()


def test_two_panoptic_annotations_of_an_image(tmp_path: Path) -> None:
    again = {"image_id": 7, "file_name": "007.png", "segments_info": [SEGMENT]}
    found = read(source(tmp_path, bad_of("panoptic", again)))
    assert [str(one.problem or "") for one in found] == [
        *("", "two panoptic annotations of one image", "")
    ]


def test_images_whose_only_annotation_is_bad_are_not_dropped_in_silence(tmp_path: Path) -> None:
    given = instances(annotation(1, 3, bbox=[]), annotation(3, 7))
    found = read(source(tmp_path, given, without_annotations="drop"))
    assert [(one.key, one.problem is None) for one in found] == [("003", False), ("007", True)]


@pytest.mark.parametrize(
    ("segments", "remark"),
    [
        ([(257, 24)], ""),
        ([(257, 0)], ""),  # its area is not said
        ([], "the panoptic map shows segment 257, which the JSON does not have"),
        ([(257, 24), (5, 1)], "the panoptic map does not show segment 5"),
        ([(257, 23)], "the panoptic map shows 24 pixels of segment 257, the JSON says 23"),
    ],
)
def test_a_panoptic_map_that_does_not_show_the_segments_is_remarked(
    tmp_path: Path, segments: list[tuple[int, int]], remark: str
) -> None:
    given = jsons()
    (one,) = given["panoptic"]["annotations"]
    one["segments_info"] = [SEGMENT | {"id": number, "area": area} for number, area in segments]
    found = {sample.key: sample for sample in read(source(tmp_path, given))}
    assert found["007"].remark == remark and found["007"].problem is None
    assert not found["003"].remark
