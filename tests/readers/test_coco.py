"""The reader of COCO: annotations out of JSON, pictures out of zips, and what it refuses."""

from __future__ import annotations

import io
import json
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
from dsets.errors import DataError, ManifestError
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
JOINTS = [float(i % 5) for i in range(51)]


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


def drawn(segmentation: Any) -> dict[str, Any]:
    return instances(annotation(1, 3, segmentation=segmentation))


def shown(image: dict[str, Any]) -> dict[str, Any]:
    return jsons(instances={"images": [images()[0] | image]})


FAR = [0, 0, 1e12, 0, 1, 1e12]
LIES: dict[str, tuple[Any, str]] = {
    "no JSON": (jsons(instances=b"<html>"), "bad JSON of COCO"),
    "nested without end": (jsons(instances=b"[" * 10**6), "bad JSON of COCO"),
    "an integer too long": (jsons(instances=b'{"images":[{"id":1e400}]}'), "bad JSON of COCO"),
    "no image": (jsons(instances={"images": []}), "no images in the JSON|categor"),
    "ids repeated": (jsons(instances={"images": images() * 2}), "bad or repeated id"),
    "size": (shown({"width": 10**6, "height": 10**6}), "bad size"),
    "escape": (shown({"file_name": "../../etc/passwd"}), "1 images are missing"),
    "category": (instances(annotation(1, 3, category_id=2)), "an annotation of no category"),
    "box": (instances(annotation(1, 3, bbox=[0, 0, -1, 1])), "is impossible"),
    "box of three": (instances(annotation(1, 3, bbox=[0, 0, 1])), "bad annotation"),
    "a huge number": (instances(annotation(1, 3, area=1e300)), "bad area of an annotation"),
    "keypoints": (instances(annotation(1, 3, keypoints=[1, 2, 3])), "bad keypoints"),
    "polygon leading far away": (drawn([FAR]), "bad polygon"),
    "odd polygon": (drawn([[1, 1, 2, 2, 3, 3, 4]]), "bad polygon"),
    "no segmentation": (drawn("x"), "bad segmentation"),
    "runs too long": (drawn(RUNS | {"counts": [4, 2**40]}), "bad run lengths"),
    "negative runs": (drawn(RUNS | {"counts": [30, -6]}), "bad run lengths"),
    "packed runs that lie": (drawn(RUNS | {"counts": "oooo0"}), "bad run lengths"),
    "another size": (drawn(RUNS | {"size": [6, 4]}), "another size"),
}  # fmt: skip


@pytest.mark.parametrize("case", LIES)
def test_annotations_that_lie_are_refused(tmp_path: Path, case: str) -> None:
    given, message = LIES[case]
    with pytest.raises(DataError, match=message):
        read(source(tmp_path, given))


def test_a_polygon_of_two_corners_covers_nothing(tmp_path: Path) -> None:
    first = read(source(tmp_path, instances(annotation(1, 3, segmentation=[[0, 0, 3, 3]]))))[0]
    (mask,) = rle.masks(first.values["mask"], first.values["mask_ends"], (4, 6))
    assert not mask.any()


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
