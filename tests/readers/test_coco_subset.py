"""What a subset takes of COCO's annotations."""

from __future__ import annotations

import json
from pathlib import Path

from dsets.readers import coco
from tests.readers.tiny_coco import annotation, instances, source


def test_a_subset_is_chosen_beside_bad_annotations_and_takes_them_along(tmp_path: Path) -> None:
    given = instances(
        annotation(1, 3, bbox="x"), annotation(2, 7, category_id=[]), annotation(3, 7), {"id": 4}
    )
    one = source(tmp_path, given, keypoints=None, captions=None, stuff=None, panoptic=None)
    assert [picture.key for picture in coco.pictures(one, {1})] == ["003", "007"]
    (cutting,) = coco.cut(one, {"003", "007"}, {1})
    assert [found["id"] for found in json.loads(cutting.data)["annotations"]] == [1, 3]
    (cutting,) = coco.cut(one, {"003", "007"}, None)
    assert [found["id"] for found in json.loads(cutting.data)["annotations"]] == [1, 2, 3]
