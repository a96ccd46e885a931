"""The reader of VOC: boxes, parts, flags and masks out of the tar, and what it refuses."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from dsets import codecs
from dsets.errors import DataError, ManifestError
from dsets.manifest import Source
from dsets.readers import voc
from tests.readers.tiny_voc import (
    BIRD,
    BOMB,
    PICTURES,
    XML,
    members,
    picture,
    png,
    read,
    source,
    xml,
)

REAL = Path(__file__).parents[3] / "shared" / "data" / "voc"


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
    contents = members(**PICTURES, **{"Annotations/000001.xml": None})
    sample = read(source(tmp_path, contents, annotated=0))[1]
    assert sample.values["boxes"].shape == (0, 4) and sample.values["labels"].shape == (0,)
    assert sample.values["size"].tolist() == [4, 6]
    with pytest.raises(DataError, match="lists 000001, but there is no annotation of it"):
        read(source(tmp_path / "other", contents))


def grey(side: int, bits: int) -> bytes:
    """A PNG of ``side`` x ``side`` in greys, all black, its pixels packed small."""
    row = bytes(1 + (side * bits + 7) // 8)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, bits, 0, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(row * side)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


WRONG: dict[str, tuple[str, bytes, str, str]] = {
    "a document type": ("Annotations/000001.xml", BOMB, "not sound XML", "document type"),
    "not well-formed": ("Annotations/000001.xml", b"<annotation>", "not sound XML", "ParseError"),
    "no XML": ("Annotations/000001.xml", bytes(range(256)), "not sound XML", "ParseError"),
    "empty": ("Annotations/000001.xml", b"", "not sound XML", "ParseError"),
    "another root": (
        *("Annotations/000001.xml", b"<a>" * 5000 + b"</a>" * 5000),
        *("bad annotation", "expected annotation, got a"),
    ),
    "no size": (
        *("Annotations/000001.xml", b"<annotation/>"),
        *("bad annotation: an element is missing", "size/height in annotation"),
    ),
    "class": (
        *("Annotations/000001.xml", xml("bird", "emu")),
        *("bad annotation: an unknown class", "object 1.*bird, cat, person, got 'emu'"),
    ),
    "NaN": (
        *("Annotations/000001.xml", xml(">2<", ">nan<")),
        *("bad annotation: a bad number", "object 1.*bndbox/xmin.*got 'nan'"),
    ),
    "a word": (
        *("Annotations/000001.xml", xml(">2<", ">two<")),
        *("bad annotation: a bad number", "'two'"),
    ),
    "order": (
        *("Annotations/000001.xml", xml(">2<", ">9<")),
        *("bad annotation: a box whose corners are in the wrong order", "from 9, 1 to 5, 4"),
    ),
    "negative": (
        *("Annotations/000001.xml", xml(">2<", ">-3<")),
        *("a box outside the picture", "object 1: .*within 6 x 4, got from -3, 1 to 5, 4"),
    ),
    "outside": (
        *("Annotations/000001.xml", xml(">5.0<", ">8<")),
        *("a box outside the picture", "object 1: .*within 6 x 4, got from 2, 1 to 8, 4"),
    ),
    "too long": (
        *("Annotations/000001.xml", b" " * (1 << 20) + b"<annotation/>"),
        *("annotation too long", "at most 1,048,576 bytes, got 1,048,589"),
    ),
    "colours": (
        *("SegmentationClass/000001.png", png([[1, 2, 3, 0, 0, 0]] * 4, "RGB")),
        *("class_mask not a map of indices", "got PNG, RGB"),
    ),
    "cut off": (
        *("SegmentationClass/000001.png", png([[1] * 6] * 4)[:60]),
        *("class_mask not a readable image", ""),
    ),
    "spread greys": (
        *("SegmentationObject/000001.png", grey(6, 4)),
        *("object_mask of another size", "expected 6 x 4, got 6 x 6"),
    ),
    "huge": (
        *("SegmentationClass/000001.png", grey(20_000, 1)),
        *("class_mask image too large", "at most 100000000 pixels"),
    ),
    "another size": (
        *("SegmentationClass/000001.png", png([[1] * 4] * 6)),
        *("class_mask of another size than its picture", "expected 6 x 4, got 4 x 6"),
    ),
    "objects' of another size": (
        *("SegmentationObject/000001.png", png([[1] * 4] * 6)),
        *("object_mask of another size than its picture", "expected 6 x 4, got 4 x 6"),
    ),
    "no class": (
        *("SegmentationClass/000001.png", png([[0, 1, 2, 3, 4, 255]] * 4)),
        *("class_mask with indices that are no class", "0 to 3, and 255 for void, got 4"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_one_image_is_the_problem_of_its_sample(
    tmp_path: Path, case: str
) -> None:
    member, content, reason, detail = WRONG[case]
    given = members(**PICTURES, **{member: content})
    first, second = read(source(tmp_path, given))
    assert first.problem is None and first.values["labels"].tolist() == [0, 2]
    assert str(second.problem).startswith(reason) and "tmp" not in str(second.problem)
    assert second.key == "000001" and dict(second.values) == {"image": picture(6, 4)}
    assert re.search(f"v.tar: 000001.*{detail}", second.remark), second.remark


def test_greys_of_four_bits_are_no_indices() -> None:
    with pytest.raises(DataError, match="greys of 8 bits"):
        codecs.decode_indices(grey(6, 4))
    assert codecs.decode_indices(grey(6, 8)).shape == (6, 6)


def test_a_problem_s_reason_is_the_same_wherever_the_archive_lies(tmp_path: Path) -> None:
    given = members(**{"Annotations/000001.xml": b"<annotation><\x00"})
    reasons = {str(read(source(tmp_path / name, given))[1].problem) for name in ("one", "two")}
    assert reasons == {"not sound XML"}


def test_an_image_set_that_names_an_object_too_many(tmp_path: Path) -> None:
    given = members(**{"ImageSets/Layout/train.txt": b"000002 3\n000001 1\n"})
    first, second = read(source(tmp_path, given, set="Layout/train"))
    assert str(first.problem) == "the image set names an object that is not there"
    assert "expected 1 to 2, got 3" in first.remark and second.problem is None


def test_a_member_of_any_length_stops_nothing_but_its_own_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voc, "MEMBER_BYTES", 2000)
    given = members(**{"JPEGImages/000001.jpg": b"\xff\xd8\xff" * 1000})
    first, second = read(source(tmp_path, given))
    assert first.problem is None and str(second.problem) == "image too long"
    assert "at most 2,000 bytes, got 3,000" in second.remark and not second.values


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("000002.jpg", "the annotation names the picture '000002.jpg', it is of 000001"),
        ("\n000001.jpeg ", ""),
        ("C:\\VOC\\000001.jpg", ""),
        ("000001", ""),
        ("", ""),
    ],
)
def test_an_annotation_that_names_another_picture_is_remarked(
    tmp_path: Path, name: str, remark: str
) -> None:
    xml = XML.format(key="000001", objects=BIRD).replace("000001.jpg", name).encode()
    first, second = read(source(tmp_path, members(**{"Annotations/000001.xml": xml})))
    assert second.problem is None and second.remark == remark and not first.remark


def test_a_pose_that_voc_does_not_have_is_taken_as_unspecified_and_remarked(tmp_path: Path) -> None:
    strange = {"Annotations/000001.xml": xml(">Left<", ">SideFaceLeft<")}
    first, second = read(source(tmp_path, members(**PICTURES, **strange)))
    assert second.problem is None and second.values["poses"].tolist() == [0]
    assert second.remark.startswith("object 1 has the pose 'SideFaceLeft', which is none of Unsp")
    assert not first.remark and first.values["poses"].tolist() == [1, 0]


def test_an_annotation_with_another_size_than_the_picture_is_remarked(tmp_path: Path) -> None:
    other = {"Annotations/000001.xml": xml("", "").replace(b"<height>4", b"<height>40")}
    first, second = read(source(tmp_path, members(**PICTURES, **other)))
    assert not first.remark and second.problem is None
    assert second.remark == "the annotation says 6 x 40, the picture is 6 x 4"
    assert second.values["size"].tolist() == [4, 6]


@pytest.mark.parametrize("size", ["", "<size/>", "<size><height>?</height></size>"])
def test_objects_of_a_picture_whose_annotation_gives_no_size_are_kept(
    tmp_path: Path, size: str
) -> None:
    odd = {"Annotations/000001.xml": f"<annotation>{BIRD}{size}</annotation>".encode()}
    second = read(source(tmp_path / "sound", members(**PICTURES, **odd)))[1]
    assert second.problem is None and second.values["boxes"].tolist() == [[1, 0, 5, 4]]
    assert second.remark == "the annotation gives no size, the picture is 6 x 4"
    assert second.values["size"].tolist() == [4, 6]
    second = read(source(tmp_path / "picture too", members(**odd)))[1]
    assert second.problem is not None and "size/height" in second.remark


@pytest.mark.parametrize("change", [(">2<", ">0<"), (">5.0<", ">7<"), (">5.0<", ">6.9<")])
def test_boxes_one_pixel_beyond_are_as_published(tmp_path: Path, change: tuple[str, str]) -> None:
    given = members(**PICTURES, **{"Annotations/000001.xml": xml(*change)})
    second = read(source(tmp_path, given))[1]
    assert second.problem is None and not second.remark


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"../../etc/passwd\n",
            r"train.txt, line 1: bad line of an image set; expected an image's",
        ),
        (b"000001\n000001\n", "line 2: image 000001 is there twice"),
        (b"000009\n", "no image of it"),
        (b"\n", "empty image set"),
        (b"000001\r\n\x00\x01\x02", r"not an image set; expected text.*byte 0x00 at 8"),
        ("000001\n".encode("utf-16"), r"not an image set; expected text.*byte 0xff at 0"),
        (b"\x89PNG\r\n\x1a\n", r"not an image set; expected text.*byte 0x89 at 0"),
        (b"0" * (9 << 20), r"image set .*train.txt is too long; .*8,388,608 bytes, got 9,437,184"),
    ],
)
def test_an_image_set_that_is_none_stops_the_reading(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(source(tmp_path, members(**{"ImageSets/Main/train.txt": content})))


def test_two_years_in_one_archive_are_told_apart(tmp_path: Path) -> None:
    both = members() | members("VOCdevkit/VOC2012/")
    with pytest.raises(DataError, match=r"several VOC folders.*VOC2007/ and in VOCdevkit/VOC2012/"):
        read(source(tmp_path, both))


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
