"""A dataset in COCO's format, with a manifest that users could have written, served or not."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from PIL import Image

from dsets import manifest
from dsets.field import Field
from dsets.manifest import File, Manifest, Split
from dsets.readers._coco_options import FIELDS
from tests.readers.raw import manifest_of

CATEGORIES = [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}, {"id": 90, "name": "hot dog"}]
COUNT = 60  # images a split; image i has the class i % 4, or none


def picture(number: int) -> bytes:
    out = io.BytesIO()
    noise = Image.frombytes("RGB", (24, 16), hashlib.shake_128(b"%d" % number).digest(24 * 16 * 3))
    noise.save(out, "JPEG", quality=95)
    return out.getvalue()


def annotations(first: int) -> bytes:
    images = [
        {"id": i, "width": 24, "height": 16, "file_name": f"{i:04}.jpg", "license": i % 3}
        for i in range(first, first + COUNT)
    ]
    objects = []
    for image in images:
        number = int(str(image["id"]))
        if number % 4 < 3:
            kinds = [CATEGORIES[number % 4]["id"], *([90] if number % 8 == 0 else [])]
            for kind in kinds:
                one = {"id": 10 * number + int(str(kind)), "image_id": number, "category_id": kind}
                shape = {"bbox": [1, 2, 3, 4], "area": 12.0, "iscrowd": 0}
                objects.append(one | shape | {"segmentation": [[1, 2, 4, 2, 4, 6]]})
    made = {"info": {"year": 2017}, "licenses": [{"id": 1}], "images": images}
    return json.dumps(made | {"annotations": objects, "categories": CATEGORIES}).encode()


def captions(first: int) -> bytes:
    images = [
        {"id": i, "width": 24, "height": 16, "file_name": f"{i:04}.jpg"}
        for i in range(first, first + COUNT)
    ]
    words = [
        {"id": i, "image_id": i, "caption": f"this is {i}"} for i in range(first, first + COUNT)
    ]
    return json.dumps({"images": images, "annotations": words}).encode()


def packed(contents: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip, the same whenever it is made."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def pictures(split: str, first: int) -> dict[str, bytes]:
    """Member → JPEG, with a large stranger between each two, which nobody should fetch."""
    found = {}
    for i in range(first, first + COUNT):
        found[f"{split}/{i:04}.jpg"] = picture(i)
        found[f"{split}/stranger-{i}.bin"] = hashlib.shake_128(b"s%d" % i).digest(40_000)
    return found


def files() -> dict[str, bytes]:
    """File name → bytes."""
    return {
        "train.zip": packed(pictures("train", 0)),
        "val.zip": packed(pictures("val", 1000)),
        "annotations.zip": packed(
            {
                "annotations/instances_train.json": annotations(0),
                "annotations/captions_train.json": captions(0),
                "annotations/instances_val.json": annotations(1000),
                "annotations/captions_val.json": captions(1000),
            },
            zipfile.ZIP_DEFLATED,
        ),
    }


def catalogue(
    folder: Path, contents: Mapping[str, bytes], url: str, *, singly: bool = False
) -> Path:
    """A folder for DSETS_MANIFESTS with the manifest ``tiny`` of these files at ``url``; with
    ``singly`` the images also lie there one by one."""
    files = [
        File(
            name,
            (f"{url}/{name}",),
            len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            part="annotations" if name == "annotations.zip" else "images",
            singly=(f"{url}/{name[:-4]}",) if singly else (),
        )
        for name, data in contents.items()
    ]
    kinds = dict.fromkeys(("instances", "captions"), "annotations.zip")
    splits = [
        Split(
            name,
            COUNT,
            (f"{name}.zip", "annotations.zip"),
            name == "train",
            {"images": f"{name}.zip", "folder": name, **kinds},
        )
        for name in ("train", "val")
    ]
    names = ("image", "size", "boxes", "labels", "crowd", "caption", "caption_ends")
    classes = {"labels": ("cat", "dog", "hot dog")}
    fields = [Field(name, *FIELDS[name], classes=classes.get(name, ())) for name in names]
    return written(folder, "tiny", "detection", manifest_of("coco", files, splits, fields))


def written(folder: Path, name: str, pipeline: str, made: Manifest) -> Path:
    """``folder``, with this manifest, under its name, as a page that a user could have written."""
    folder.mkdir(exist_ok=True)
    made = replace(made, name=name, pipeline=pipeline, licence="CC0-1.0")
    page = manifest.render(made)
    (folder / f"{name}.toml").write_bytes(page)
    return folder
