"""A tiny COCO of every kind of annotation, and the source that describes it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from dsets.field import Field
from dsets.manifest import File, Source, Split
from dsets.readers import Sample, coco
from dsets.readers._coco_options import FIELDS
from tests.readers import raw

CLASSES = {
    "labels": ("person", "cat"),
    "stuff_labels": ("grass", "other"),
    "segment_labels": ("person", "cat", "grass"),
}
CATEGORIES = [{"id": 17, "name": "cat"}, {"id": 1, "name": "person"}]
JOINTS = [float(i % 3) for i in range(51)]
RUNS = {"size": [4, 6], "counts": [4, 8, 12]}
SEGMENT = {"id": 1, "category_id": 92, "bbox": [0, 0, 6, 4]}


def images() -> list[dict[str, Any]]:
    """Three of 6 x 4, the last without annotations, none in the order of the ids."""
    return [{"id": i, "width": 6, "height": 4, "file_name": f"{i:03}.jpg"} for i in (9, 3, 7)]


def annotation(number: int, image: int, **changes: Any) -> dict[str, Any]:
    square = [1, 1, 4, 1, 4, 3, 1, 3]
    given = {"id": number, "image_id": image, "category_id": 17, "bbox": [1.5, 1, 3, 2]}
    return given | {"segmentation": [square], "area": 6.5, "iscrowd": 0} | changes


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


def instances(*given: dict[str, Any]) -> dict[str, Any]:
    one = {"images": images(), "annotations": list(given), "categories": CATEGORIES}
    return jsons(instances=one, person_keypoints=one | {"annotations": []})


def bad(**changes: Any) -> dict[str, Any]:
    """An annotation that cannot be, and a good one of the same image, and of another."""
    return instances(annotation(1, 3, **changes), annotation(2, 3), annotation(3, 7))


def bad_of(kind: str, one: Any) -> dict[str, Any]:
    given = jsons()
    given[kind]["annotations"].append(one)
    return given


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
