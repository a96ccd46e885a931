"""The reader of VOC: boxes, parts, flags and masks out of the tar, and what it refuses."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsets.errors import DataError, ManifestError
from dsets.field import Field
from dsets.manifest import File, Source, Split
from dsets.readers import Sample, voc
from tests.readers import raw

CLASSES = ("bird", "cat", "person")
REAL = Path(__file__).parents[3] / "shared" / "data" / "voc"
XML = """<annotation><filename>{key}.jpg</filename>{objects}
<size><depth>3</depth><height>4</height><width>6</width></size></annotation>"""
BIRD = """<object><bndbox><xmax>5.0</xmax><xmin>2</xmin><ymin>1</ymin><ymax>4</ymax></bndbox>
<name>bird</name><difficult>1</difficult><pose>Left</pose></object>"""
PERSON = """<object><name>person</name><actions><walking>1</walking><jumping>0</jumping></actions>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>6</xmax><ymax>4</ymax></bndbox><truncated>1</truncated>
<occluded>1</occluded><point><x>3</x><y>2</y></point><part><name>foot</name>
<bndbox><xmin>3</xmin><ymin>3</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part></object>"""


def png(indices: Any, mode: str = "P") -> bytes:
    image = Image.fromarray(np.array(indices, np.uint8))
    if mode == "P":
        image.putpalette([value * 7 % 256 for value in range(768)])
    else:
        image = image.convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


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


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSETS_HOME", str(tmp_path / "home"))


def test_a_sample_has_what_its_annotation_says(tmp_path: Path) -> None:
    first, second = read(source(tmp_path, members()))
    assert (first.key, second.key) == ("000002", "000001")
    assert first.values["image"] == b"\xff\xd8\xff two"
    assert first.values["boxes"].tolist() == [[1, 0, 5, 4], [0, 0, 6, 4]]
    assert first.values["labels"].tolist() == [0, 2]
    assert first.values["difficult"].tolist() == [True, False]
    assert first.values["truncated"].tolist() == [False, True]
    assert first.values["occluded"].tolist() == [False, True]
    assert first.values["poses"].tolist() == [1, 0]
    assert first.values["actions"][0].tolist() == [-1] * 11
    assert first.values["actions"][1].tolist() == [0] + [-1] * 9 + [1]
    assert first.values["points"][1].tolist() == [2.5, 1.5]
    assert first.values["part_boxes"].tolist() == [[2, 2, 4, 4]]
    assert first.values["part_labels"].tolist() == [2]
    assert first.values["part_objects"].tolist() == [1]
    assert first.values["size"].tolist() == [4, 6]
    assert first.values["class_mask"].tolist() == [[0, 1, 255, 2, 3, 0]] * 4
    assert second.values["class_mask"].shape == (0, 0)


def test_the_extra_folder_of_2011_and_a_second_reading_from_the_index(tmp_path: Path) -> None:
    one = source(tmp_path, members("TrainVal/VOCdevkit/VOC2011/"))
    from dsets.readers._cache import DECODED

    before = [sample.values["boxes"].tolist() for sample in read(one)]
    DECODED.clear()
    assert [sample.values["boxes"].tolist() for sample in read(one)] == before


def test_a_layout_set_lists_objects(tmp_path: Path) -> None:
    (sample,) = read(source(tmp_path, members(), set="Layout/train"))
    assert sample.values["listed"].tolist() == [False, True]


def test_an_archive_without_annotations(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (6, 4)).save(picture, "JPEG")
    contents = members(
        **{"Annotations/000001.xml": None, "JPEGImages/000001.jpg": picture.getvalue()},
    )
    sample = read(source(tmp_path, contents, annotated=0))[1]
    assert sample.values["boxes"].shape == (0, 4) and sample.values["labels"].shape == (0,)
    assert sample.values["size"].tolist() == [4, 6]
    with pytest.raises(DataError, match="lists 000001, but there is no annotation of it"):
        read(source(tmp_path / "other", contents))


def xml(old: str, new: str) -> bytes:
    """The first annotation with a change."""
    return XML.format(key="000001", objects=BIRD.replace(old, new)).encode()


BOMB = b"""<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><annotation>&c;</annotation>"""


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("Annotations/000001.xml", BOMB, "not sound XML.*document type"),
        ("Annotations/000001.xml", b"<annotation>", "not sound XML"),
        ("Annotations/000001.xml", b"<a>" * 5000 + b"</a>" * 5000, "bad annotation"),
        ("Annotations/000001.xml", b"<annotation/>", "no size/height"),
        ("Annotations/000001.xml", xml("bird", "emu"), "'emu'"),
        ("Annotations/000001.xml", xml(">2<", ">nan<"), "'nan'"),
        ("Annotations/000001.xml", xml(">2<", ">9<"), "a box from 9"),
        ("Annotations/000001.xml", b" " * (1 << 20) + b"<annotation/>", "annotation too long"),
        ("SegmentationClass/000002.png", png([[1, 2]] * 2, "RGB"), "not a map of indices"),
        ("SegmentationClass/000002.png", png([[1, 2]] * 2)[:60], "not a readable image"),
        ("ImageSets/Main/train.txt", b"../../etc/passwd\n", "bad line of an image set"),
        ("ImageSets/Main/train.txt", b"000001\n000001\n", "is there twice"),
        ("ImageSets/Main/train.txt", b"000009\n", "no image of it"),
        ("ImageSets/Main/train.txt", b"\n", "empty image set"),
    ],
)  # fmt: skip
def test_hostile_and_damaged_members(
    tmp_path: Path, member: str, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(source(tmp_path, members(**{member: content})))


def test_an_image_set_that_is_not_there_says_which_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected ImageSets/Main/val\.txt, got .*Main/train"):
        voc.table(source(tmp_path, members(), set="Main/val"))


@pytest.mark.parametrize("options", [{"set": "train"}, {"archive": "x"}, {"annotated": "no"}])
def test_options_that_cannot_be_followed(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ManifestError, match="bad option"):
        voc.check(source(tmp_path, members(), **options))


@pytest.mark.skipif(not REAL.is_dir(), reason="no real VOC samples in ../shared/data/voc")
def test_real_samples() -> None:
    from dsets import manifest

    found = manifest.find("voc2007")
    boxes = {one.key: one for one in read(Source(found, found.split("trainval"), REAL))}
    assert boxes["000001"].values["boxes"].tolist() == [[47, 239, 195, 371], [7, 11, 352, 498]]
    found = manifest.find("voc2012")
    masks = read(Source(found, found.split("segmentation-val"), REAL))
    assert [one.values["class_mask"].shape for one in masks] == [
        tuple(one.values["size"]) for one in masks
    ]
    assert all(255 in one.values["class_mask"] for one in masks)
