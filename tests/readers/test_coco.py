"""The reader of COCO: annotations out of JSON, pictures out of zips, and what it refuses."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as cocomask

from dsets import manifest
from dsets.codecs import rle
from dsets.errors import AbsentError, DataError, ManifestError
from dsets.field import Field
from dsets.manifest import File, Source, Split
from dsets.readers import Sample, _coco_index, coco
from dsets.readers._coco_options import FIELDS
from tests.readers import raw

REAL = Path(__file__).parents[3] / "shared" / "data" / "coco"
CLASSES = {
    "labels": ("person", "cat"),
    "stuff_labels": ("grass", "other"),
    "segment_labels": ("person", "cat", "grass"),
}
CATEGORIES = [{"id": 17, "name": "cat"}, {"id": 1, "name": "person"}]
JOINTS = [float(i % 3) for i in range(51)]


def images() -> list[dict[str, Any]]:
    """Three of 6 x 4, the last without annotations, none in the order of the ids."""
    return [{"id": i, "width": 6, "height": 4, "file_name": f"{i:03}.jpg"} for i in (9, 3, 7)]


def annotation(number: int, image: int, **changes: Any) -> dict[str, Any]:
    square = [1, 1, 4, 1, 4, 3, 1, 3]
    given = {"id": number, "image_id": image, "category_id": 17, "bbox": [1.5, 1, 3, 2]}
    return given | {"segmentation": [square], "area": 6.5, "iscrowd": 0} | changes


RUNS = {"size": [4, 6], "counts": [4, 8, 12]}


def jsons(**changes: Any) -> dict[str, Any]:
    instances = [
        annotation(50, 7),
        annotation(40, 3, category_id=1, segmentation=RUNS, iscrowd=1),
        annotation(
            60, 7, category_id=1, segmentation=[[0, 0, 2, 0, 2, 2], [3, 3, 5, 3, 5, 4, 3, 4]]
        ),
    ]
    people = [annotation(60, 7, category_id=1, keypoints=JOINTS)]
    words = [{"image_id": 7, "caption": "Ein Bär"}, {"image_id": 3, "caption": "b\n"}]
    stuff = [annotation(1, 3, category_id=92, segmentation=RUNS)]
    segments = [{"id": 257, "category_id": 92, "bbox": [0, 0, 6, 4], "area": 24, "iscrowd": 0}]
    maps = [{"image_id": 7, "file_name": "007.png", "segments_info": segments}]
    kinds: dict[str, tuple[Any, Any]] = {
        "instances": (instances, CATEGORIES),
        "person_keypoints": (people, CATEGORIES[1:]),
        "captions": (words, []),
        "stuff": (stuff, [{"id": 92, "name": "grass"}]),
        "panoptic": (maps, [{"id": 92, "name": "grass"}]),
    }
    return {
        kind: {"images": images(), "annotations": given, "categories": categories}
        for kind, (given, categories) in kinds.items()
    } | changes


def packed(contents: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return out.getvalue()


def panoptic_png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (6, 4), (1, 1, 0)).save(out, "PNG")
    return out.getvalue()


def source(
    root: Path, given: Mapping[str, Any], method: int = zipfile.ZIP_DEFLATED, **options: Any
) -> Source:
    root.mkdir(parents=True, exist_ok=True)
    pictures = {
        f"val/{image['file_name']}": f"picture {image['id']}".encode() for image in images()
    }
    (root / "images.zip").write_bytes(packed(pictures | {"val/unlisted.jpg": b"x"}))
    members = {
        f"annotations/{kind}_val.json": one if isinstance(one, bytes) else json.dumps(one).encode()
        for kind, one in given.items()
    }
    members["annotations/panoptic_val.zip"] = packed({"panoptic_val/007.png": panoptic_png()})
    (root / "a.zip").write_bytes(packed(members, method))
    kinds = dict.fromkeys(("instances", "keypoints", "captions", "stuff", "panoptic"), "a.zip")
    wanted = {"images": "images.zip", "folder": "val"} | kinds | options
    wanted = {name: value for name, value in wanted.items() if value is not None}
    split = Split("val", 3, ("images.zip", "a.zip"), True, wanted)
    fields = [Field(name, *kind, classes=CLASSES.get(name, ())) for name, kind in FIELDS.items()]
    files = [File("images.zip"), File("a.zip")]
    return Source(raw.manifest_of("coco", files, [split], fields), split, root)


def read(source: Source) -> list[Sample]:
    return list(coco.samples(source, range(len(coco.table(source)))))


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSETS_HOME", str(tmp_path / "home"))
    _coco_index._OPEN.clear()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_sample_has_what_the_json_says(tmp_path: Path, method: int) -> None:
    first, second, last = read(source(tmp_path, jsons(), method))
    assert [one.key for one in (first, second, last)] == ["003", "007", "009"]
    values = second.values
    assert values["image"] == b"picture 7"
    assert values["size"].tolist() == [4, 6] and values["image_id"] == 7
    assert values["annotation_ids"].tolist() == [50, 60]
    assert values["boxes"].tolist() == [[1.5, 1, 4.5, 3]] * 2
    assert values["labels"].tolist() == [1, 0] and first.values["labels"].tolist() == [0]
    assert values["crowd"].tolist() == [False, False] and first.values["crowd"].tolist() == [True]
    assert values["areas"].tolist() == [6.5, 6.5]
    square, two = rle.masks(values["mask"], values["mask_ends"], (4, 6))
    assert square.tolist() == [[0] * 6, [0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0] * 6]
    assert two[3].tolist() == [0, 0, 0, 1, 1, 0]
    (runs,) = rle.masks(first.values["mask"], first.values["mask_ends"], (4, 6))
    assert runs.tolist() == [[0, 1, 1, 0, 0, 0]] * 4
    assert not values["keypoints"][0].any() and values["keypoints"][1].ravel().tolist() == JOINTS
    texts = [one.decode() for one in rle.split(values["caption"], values["caption_ends"])]
    assert texts == ["Ein Bär"]
    assert first.values["stuff_labels"].tolist() == [0] and not len(values["stuff_labels"])
    assert values["panoptic_map"].tolist() == [[257] * 6] * 4
    assert values["segment_ids"].tolist() == [257] and values["segment_labels"].tolist() == [2]
    assert first.values["panoptic_map"].shape == (0, 0)
    assert last.values["boxes"].shape == (0, 4) and last.values["keypoints"].shape == (0, 17, 3)


def test_the_second_reading_comes_from_the_index(tmp_path: Path) -> None:
    before = read(source(tmp_path, jsons()))
    _coco_index._OPEN.clear()
    again = read(source(tmp_path, jsons()))
    for one, other in zip(before, again, strict=True):
        assert one.key == other.key
        for name, value in one.values.items():
            assert np.array_equal(np.asarray(value), np.asarray(other.values[name])), name


def test_images_without_instances_are_dropped_on_request(tmp_path: Path) -> None:
    kept = read(source(tmp_path / "kept", jsons()))
    dropped = read(source(tmp_path / "dropped", jsons(), without_annotations="drop"))
    assert [one.key for one in dropped] == ["003", "007"] and len(kept) == 3
    assert dropped[1].values["boxes"].tolist() == kept[1].values["boxes"].tolist()
    assert dropped[1].values["keypoints"].tolist() == kept[1].values["keypoints"].tolist()


def test_images_alone(tmp_path: Path) -> None:
    none = dict.fromkeys(("instances", "keypoints", "captions", "stuff", "panoptic"))
    given = {"image_info": {"images": images()}}
    found = read(source(tmp_path, given, info="a.zip", **none))
    assert [one.key for one in found] == ["003", "007", "009"]
    assert found[0].values["labels"].shape == (0,)


def instances(*given: dict[str, Any]) -> dict[str, Any]:
    one = {"images": images(), "annotations": list(given), "categories": CATEGORIES}
    return jsons(instances=one, person_keypoints=one | {"annotations": []})


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


def test_boxes_that_reach_out_of_their_picture_or_have_no_area_are_no_problem(
    tmp_path: Path,
) -> None:
    boxes = ([-2, -2, 3, 9], [5, 3, 9, 9], [6, 4, 0, 0], [0, 0, 0, 0])
    given = instances(*(annotation(i, 3, bbox=box) for i, box in enumerate(boxes)))
    (first, *_) = read(source(tmp_path, given))
    assert first.problem is None and len(first.values["boxes"]) == 4


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


def bad(**changes: Any) -> dict[str, Any]:
    """An annotation that cannot be, and a good one of the same image, and of another."""
    return instances(annotation(1, 3, **changes), annotation(2, 3), annotation(3, 7))


def bad_of(kind: str, one: Any) -> dict[str, Any]:
    given = jsons()
    given[kind]["annotations"].append(one)
    return given


FAR = [0, 0, 1e12, 0, 1, 1e12]
SEGMENT = {"id": 1, "category_id": 92, "bbox": [0, 0, 6, 4]}
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


NO_OBJECTS = dict.fromkeys(("instances", "keypoints", "stuff", "panoptic"))


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


def with_picture(root: Path, size: tuple[int, int], number: int) -> Source:
    """The usual files, but that one picture is a real one."""
    one = source(root, jsons())
    pictures = {f"val/{image['file_name']}": b"picture" for image in images()}
    out = io.BytesIO()
    Image.new("RGB", size).save(out, "JPEG")
    pictures[f"val/{number:03}.jpg"] = out.getvalue()
    (root / "images.zip").write_bytes(packed(pictures))
    return one


def test_a_size_that_is_not_the_picture_s(tmp_path: Path) -> None:
    second = read(with_picture(tmp_path / "annotated", (5, 4), 7))[1]
    wrong = "the JSON gives another width and height than the picture has"
    assert str(second.problem) == wrong
    assert "annotated/images.zip: 007: " in second.remark
    assert second.remark.endswith("expected 5 x 4, got 6 x 4")
    last = read(with_picture(tmp_path / "empty", (5, 4), 9))[2]
    assert last.problem is None and wrong in last.remark and last.values["size"].tolist() == [4, 5]
    assert not read(with_picture(tmp_path / "right", (6, 4), 7))[1].remark


def test_a_damaged_picture_is_the_problem_of_its_sample(tmp_path: Path) -> None:
    one = source(tmp_path, jsons())
    archive = tmp_path / "images.zip"
    data = bytearray(packed({f"val/{i['file_name']}": b"picture" for i in images()}, 0))
    data[data.index(b"picture")] ^= 1  # of image 9, the first in the zip
    archive.write_bytes(data)
    found = read(one)
    assert [str(sample.problem or "") for sample in found] == [
        *("", "", "the zip member is damaged")
    ]
    assert "CRC-32" in found[2].remark


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


@pytest.mark.parametrize(
    "options",
    [{"images": "x"}, {"folder": "../x"}, {"without_annotations": "maybe"}, {"stuff": "b.zip"}],
)
def test_options_that_cannot_be_followed(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ManifestError, match="bad option"):
        coco.check(source(tmp_path, jsons(), **options))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
@pytest.mark.skipif(not REAL.is_dir(), reason="no real COCO samples in ../shared/data/coco")
@pytest.mark.parametrize("name", ["train", "val"])
def test_real_samples_are_what_their_json_says(name: str) -> None:
    found = manifest.find("coco2017")
    samples = read(Source(found, found.split(name), REAL))
    with zipfile.ZipFile(REAL / "annotations_trainval2017.zip") as archive:
        given = json.loads(archive.read(f"annotations/instances_{name}2017.json"))
    names = {category["id"]: category["name"] for category in given["categories"]}
    classes = next(field.classes for field in found.fields if field.name == "labels")
    assert len(samples) == len(given["images"])
    for sample in samples:
        own = [one for one in given["annotations"] if one["image_id"] == sample.values["image_id"]]
        masks = rle.masks(
            sample.values["mask"], sample.values["mask_ends"], tuple(sample.values["size"])
        )
        assert [classes[label] for label in sample.values["labels"]] == [
            names[one["category_id"]] for one in own
        ]
        for mask, one in zip(masks, own, strict=True):
            assert np.array_equal(mask, _drawn(one["segmentation"], *sample.values["size"]))


def _drawn(segmentation: Any, height: int, width: int) -> Any:
    """uint8 (height, width): what pycocotools draws of polygons or uncompressed run lengths."""
    runs = cocomask.frPyObjects(segmentation, int(height), int(width))
    return cocomask.decode(cocomask.merge(runs) if isinstance(runs, list) else runs)
