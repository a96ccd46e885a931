"""The reader of COCO: samples out of JSON and zips, and problems of one sample alone."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as cocomask

from dsets import manifest
from dsets.codecs import rle
from dsets.errors import ManifestError
from dsets.manifest import Source
from dsets.readers import coco
from tests.readers.tiny_coco import (
    JOINTS,
    annotation,
    images,
    instances,
    jsons,
    packed,
    read,
    source,
)

REAL = Path(__file__).parents[3] / "shared" / "data" / "coco"


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


def test_boxes_that_reach_out_of_their_picture_or_have_no_area_are_no_problem(
    tmp_path: Path,
) -> None:
    boxes = ([-2, -2, 3, 9], [5, 3, 9, 9], [6, 4, 0, 0], [0, 0, 0, 0])
    given = instances(*(annotation(i, 3, bbox=box) for i, box in enumerate(boxes)))
    (first, *_) = read(source(tmp_path, given))
    assert first.problem is None and len(first.values["boxes"]) == 4


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
