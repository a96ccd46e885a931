"""A tiny VOC of two images, the second with a mask, and the source that describes it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dsets.field import Field
from dsets.manifest import File, Source, Split
from dsets.readers import Sample, voc
from tests.readers import raw

CLASSES = ("bird", "cat", "person")
XML = """<annotation><filename>{key}.jpg</filename>{objects}
<size><depth>3</depth><height>4</height><width>6</width></size></annotation>"""
BIRD = """<object><bndbox><xmax>5.0</xmax><xmin>2</xmin><ymin>1</ymin><ymax>4</ymax></bndbox>
<name>bird</name><difficult>1</difficult><pose>Left</pose></object>"""
PERSON = """<object><name>person</name><actions><walking>1</walking><jumping>0</jumping></actions>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>6</xmax><ymax>4</ymax></bndbox><truncated>1</truncated>
<occluded>1</occluded><point><x>3</x><y>2</y></point><part><name>foot</name>
<bndbox><xmin>3</xmin><ymin>3</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part></object>"""
BOMB = b"""<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><annotation>&c;</annotation>"""


def png(indices: Any, mode: str = "P") -> bytes:
    image = Image.fromarray(np.array(indices, np.uint8))
    if mode == "P":
        image.putpalette([value * 7 % 256 for value in range(768)])
    else:
        image = image.convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def picture(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "JPEG")
    return out.getvalue()


#: Real ones, whose size can be read.
PICTURES = {f"JPEGImages/00000{number}.jpg": picture(6, 4) for number in (1, 2)}


def xml(old: str, new: str) -> bytes:
    """The first annotation with a change."""
    return XML.format(key="000001", objects=BIRD.replace(old, new)).encode()


def members(base: str = "VOCdevkit/VOC2007/", **changes: bytes | None) -> dict[str, bytes]:
    """Two images, the second with a mask; a change of None leaves a member out."""
    mask = [[0, 1, 255, 2, 3, 0]] * 4
    found: dict[str, bytes | None] = {
        "Annotations/000001.xml": XML.format(key="000001", objects=BIRD).encode(),
        "Annotations/000002.xml": XML.format(key="000002", objects=BIRD + PERSON).encode(),
        "JPEGImages/000001.jpg": b"\xff\xd8\xff one",
        "JPEGImages/000002.jpg": b"\xff\xd8\xff two",
        "SegmentationClass/000002.png": png(mask),
        "SegmentationObject/000002.png": png(mask),
        "ImageSets/Main/train.txt": b"000002\n000001\n",
        "ImageSets/Main/bird_train.txt": b"000002 -1\n",
        "ImageSets/Layout/train.txt": b"000002 2\n",
    }
    found |= changes
    return {base + name: value for name, value in found.items() if value is not None}


def source(root: Path, contents: Mapping[str, bytes], **options: Any) -> Source:
    root.mkdir(parents=True, exist_ok=True)
    (root / "v.tar").write_bytes(raw.tar(contents))
    given = {"archive": "v.tar", "set": "Main/train"} | options
    split = Split("train", 2, ("v.tar",), True, given)
    return Source(raw.manifest_of("voc", [File("v.tar")], [split], fields(CLASSES)), split, root)


def fields(classes: tuple[str, ...]) -> list[Field]:
    return [
        Field(name, *kind, classes=classes if name == "labels" else ())
        for name, kind in voc._KINDS.items()
    ]


def read(source: Source) -> list[Sample]:
    return list(voc.samples(source, range(len(voc.table(source)))))
