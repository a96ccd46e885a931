"""ImageNet's bounding boxes out of their archives, hostile ones among them."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dsets import readers, verify
from dsets.errors import DataError
from dsets.manifest import Source
from dsets.readers import _cache, imagenet
from tests.readers import tiny_imagenet as tiny


def boxed(root: Path, annotations: Mapping[str, bytes], **more: Any) -> Source:
    files = {"images.tar": tiny.tar(tiny.pictures(tiny.TRAIN)), "boxes.tar.gz": b""}
    files["boxes.tar.gz"] = gzip.compress(tiny.tar(annotations))
    return tiny.source(root, files, boxes=["boxes.tar.gz"], **more)


def test_boxes_come_out_where_their_archive_is_in_the_store(tmp_path: Path) -> None:
    source = boxed(
        tmp_path,
        {
            "n02105855/n02105855_7.xml": tiny.annotation((1, 2, 3, 4), (5.5, 6, 7, 8)),
            "n01440764/n01440764_10.xml": tiny.annotation((9, 9, 10, 10)),
            "n01440764/n01440764_999.xml": tiny.annotation((9, 9, 10, 10)),  # no such picture
            "n01440764/n01440764_2.xml": tiny.annotation(),
            "readme": b"hello",
        },
    )
    found = {sample.key: sample.values["boxes"] for sample in imagenet.samples(source, range(5))}
    assert found["n02105855_7"].tolist() == [[1, 2, 3, 4], [5.5, 6, 7, 8]]
    assert found["n01440764_10"].tolist() == [[9, 9, 10, 10]]
    assert found["n01440764_2"].shape == found["n02105855_2933"].shape == (0, 4)
    assert imagenet.table(source)["box_count"].tolist() == [0, 1, 0, 2, 0]
    assert verify.samples(source).ok

    source.path("boxes.tar.gz").unlink()  # optional files are never demanded
    assert imagenet.table(source)["box_count"].tolist() == [0] * 5


def test_boxes_of_numbered_pictures_find_them(tmp_path: Path) -> None:
    files = {
        "v.tar": tiny.tar(tiny.pictures(tiny.VAL)),
        "kit": tiny.devkit(),
        "b.tgz": gzip.compress(tiny.tar({f"val/{tiny.VAL[1]}.xml": tiny.annotation((1, 2, 3, 4))})),
    }
    source = tiny.source(tmp_path, files, "val", truth="kit", boxes=["b.tgz"])
    assert imagenet.table(source)["box_count"].tolist() == [0, 1, 0]


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]>'
FILE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (tiny.annotation((1, 2, 3, 4), declaration=BOMB), "document type"),
        (tiny.annotation(("&b;", 2, 3, 4), declaration=FILE), "document type"),
        (tiny.annotation((1, 2, 3)), "a box with xmin, ymin, xmax"),
        (tiny.annotation((1, 2, 3, "four")), "could not convert"),
        (tiny.annotation((1, 2, 3, "nan")), "no number"),
        (tiny.annotation((1, 2, 3, "1e999")), "no number"),
        (tiny.annotation((1, 2, 3, 4))[:-5], "bad annotation"),
        (b"<html>", "bad annotation"),
        (b"", "bad annotation"),
        (b" " * (1 << 20) + tiny.annotation(), "too long"),
        (b"<a>" * 200_000, "bad annotation"),
    ],
)
def test_a_hostile_annotation_costs_the_boxes_of_its_own_picture(
    tmp_path: Path, xml: bytes, message: str
) -> None:
    good = tiny.annotation((9, 9, 10, 10))
    source = boxed(tmp_path, {"n02105855_7.xml": xml, "n01440764_10.xml": good})
    found = {sample.key: sample for sample in imagenet.samples(source, range(5))}
    assert not any(sample.problem for sample in found.values())
    assert [key for key, sample in found.items() if sample.remark] == ["n02105855_7"]
    assert found["n02105855_7"].values["boxes"].shape == (0, 4)
    assert found["n01440764_10"].values["boxes"].tolist() == [[9, 9, 10, 10]]
    (remark,) = imagenet.remarks(source)
    assert remark.startswith("boxes.tar.gz: 1 annotations cannot be read")
    assert "n02105855_7: " in remark and message in remark
    readers.forget(source)  # the next index is read from the file of the last one
    imagenet.table(source)
    _cache.DECODED.clear()
    assert list(imagenet.remarks(source)) == [remark]
    report = verify.samples(source)
    told = [check.name for check in report.checks if not check.ok]
    assert (
        told == ["table", "annotations", "remarks", "n02105855_7"][-len(told) :] and len(told) > 2
    )


def test_a_hostile_annotation_of_no_picture_is_told_and_costs_nothing(tmp_path: Path) -> None:
    bad = {"n01440764/n01440764_999.xml": b"<html>", "elsewhere/strange.xml": b""}
    source = boxed(tmp_path, bad)
    assert not any(one.problem or one.remark for one in imagenet.samples(source, range(5)))
    assert imagenet.remarks(source)[0].startswith("boxes.tar.gz: 2 annotations cannot be read")


def test_a_damaged_archive_of_annotations_is_refused(tmp_path: Path) -> None:
    source = boxed(tmp_path, {"n02105855_7.xml": tiny.annotation((1, 2, 3, 4))})
    path = source.path("boxes.tar.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError):
        imagenet.table(source)
