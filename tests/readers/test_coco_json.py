"""COCO's JSON as others write it, and files that are none."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets.codecs import rle
from dsets.errors import DataError
from dsets.readers import _coco_index, _coco_json, coco
from tests.readers.tiny_coco import (
    RUNS,
    SEGMENT,
    annotation,
    images,
    jsons,
    read,
    source,
)


def shown(image: dict[str, Any]) -> dict[str, Any]:
    return jsons(instances={"images": [images()[0] | image]})


LIES: dict[str, tuple[Any, str]] = {
    "no JSON": (jsons(instances=b"<html>"), "bad JSON of COCO.*byte 0.*<html>"),
    "nothing": (jsons(instances=b""), "bad JSON of COCO.*nothing"),
    "cut off": (jsons(instances=b'{"images":[{"id":1,'), "bad JSON of COCO"),
    "nested without end": (jsons(instances=b"[" * 10**6), "bad JSON of COCO"),
    "an integer too long": (jsons(instances=b'{"images":[{"id":1e400}]}'), "bad JSON of COCO"),
    "no object": (jsons(instances=b"[]"), "bad JSON of COCO; expected JSON with images"),
    "a name that is none": (shown({"file_name": 6}), r"bad JSON of COCO.*images\[0\].file_name"),
    "no image": (jsons(instances={"images": []}), "no images in the JSON"),
    "ids repeated": (jsons(instances={"images": images() * 2}), "bad or repeated id"),
    "escape": (shown({"file_name": "../../etc/passwd"}), "1 images are missing"),
    "another class": (
        jsons(instances={"images": images(), "categories": [{"id": 1, "name": "emu"}]}),
        "a category that the manifest does not have; expected one of person, cat, got 'emu'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LIES)
def test_files_that_lie_are_refused(tmp_path: Path, case: str) -> None:
    given, message = LIES[case]
    with pytest.raises(DataError, match=message):
        read(source(tmp_path, given))


def test_sizes_may_be_written_with_a_point(tmp_path: Path) -> None:
    given = [image | {"width": 6.0} for image in images()]
    found = read(source(tmp_path, jsons(instances=jsons()["instances"] | {"images": given})))
    assert all(one.problem is None and one.values["size"].tolist() == [4, 6] for one in found)


def test_whole_numbers_may_be_written_as_others_and_flags_as_booleans(tmp_path: Path) -> None:
    runs = {"size": [4.0, 6.0], "counts": [4.0, 8, 12]}
    changes = {"category_id": 1.0, "iscrowd": True, "segmentation": runs, "image_id": 3.0}
    given = jsons()
    for kind in given:
        given[kind]["images"] = [one | {"id": float(one["id"])} for one in images()]
        given[kind]["categories"] = [c | {"id": float(c["id"])} for c in given[kind]["categories"]]
    given["instances"]["annotations"] = [
        annotation(4e1, 3, **changes),
        annotation(2, 7, iscrowd=False),
    ]
    given["captions"]["annotations"][0]["image_id"] = 7.0
    segment = SEGMENT | {"id": 257.0, "iscrowd": False, "category_id": 92.0, "area": 24}
    maps = {"image_id": 7.0, "file_name": "007.png", "segments_info": [segment]}
    given["panoptic"]["annotations"] = [maps]
    plain = jsons()
    plain["instances"]["annotations"] = [
        annotation(40, 3, category_id=1, iscrowd=1, segmentation=RUNS),
        annotation(2, 7),
    ]
    for one, other in zip(
        read(source(tmp_path / "a", given)), read(source(tmp_path / "b", plain)), strict=True
    ):
        assert one.problem is None and one.key == other.key
        for name, value in one.values.items():
            assert np.array_equal(np.asarray(value), np.asarray(other.values[name])), name
    alone = source(tmp_path / "c", given, keypoints=None, captions=None, stuff=None, panoptic=None)
    assert [picture.key for picture in coco.pictures(alone, {0})] == ["003"]


NO_OBJECTS = dict.fromkeys(("instances", "keypoints", "stuff", "panoptic"))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_half_a_character_in_a_caption_is_replaced_and_remarked(
    tmp_path: Path, method: int
) -> None:
    text = '{"image_id": 3, "caption": "\\\\ud83d \\ud83d\\ude00 cut \\ud83d"}'
    given = jsons()
    written = json.dumps(given["captions"]).replace('"annotations": [', f'"annotations": [{text}, ')
    one = source(tmp_path, given | {"captions": written.encode()}, method)
    for _ in range(2):
        first, second = read(one)[:2]
        captions = rle.split(first.values["caption"], first.values["caption_ends"])
        assert captions[0].decode() == "\\ud83d \U0001f600 cut \ufffd"
        assert second.problem is None and first.problem is None
        (remark,) = coco.remarks(one)
        assert "captions_val.json: 1 halves of characters" in remark and "cut" in remark
        _coco_index._OPEN.clear()
    alone = source(tmp_path, {"captions": written.encode()}, captions="a.zip", **NO_OBJECTS)
    (cutting,) = coco.cut(alone, {"003"}, None)
    assert "cut \ufffd" in json.loads(cutting.read())["annotations"][0]["caption"]


def test_json_that_is_mostly_air_is_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = jsons(instances=json.dumps(jsons()["instances"]).encode() + b" " * (1 << 20))
    one = source(tmp_path, given)
    assert len(coco.table(one)) == 3
    monkeypatch.setattr(_coco_json, "BOMB_BYTES", 1 << 20)
    _coco_index._OPEN.clear()
    again = source(tmp_path / "again", given)
    with pytest.raises(
        DataError, match=r"instances_val.json is a bomb; expected at most 1,048,576"
    ):
        coco.table(again)
