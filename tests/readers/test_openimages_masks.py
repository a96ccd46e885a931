"""Masks of Open Images: stretched to their pictures; a damaged one costs its picture alone."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import pipeline, verify
from dsets.codecs import rle
from dsets.errors import AbsentError, DataError
from dsets.readers import openimages
from tests.readers.tiny_openimages import TARS, A, B, C, jpeg, masks, png, read, source


def test_masks_are_stretched_to_their_picture(tmp_path: Path) -> None:
    fields = ("image", "boxes", "labels", "crowd", "mask", "mask_ends")
    options = {"masks": ["m.zip"], "without_objects": "drop"}
    one = source(tmp_path, TARS | {"m.zip": masks()}, options, *fields)
    ((key, sample),) = read(one).items()
    values = sample.values
    assert key == A and values["labels"].tolist() == [1]
    assert values["boxes"].tolist() == [[0, 0, 20, 5]]
    (mask,) = rle.masks(values["mask"], values["mask_ends"], (10, 40))
    assert mask.sum() == 100 and mask[:5, :20].all()
    made: Any = pipeline.load("segmentation16").make(sample)
    assert made["class_mask"].dtype == np.uint16 and set(np.unique(made["class_mask"])) == {0, 2}


@pytest.mark.parametrize(
    ("name", "says"),
    [(f"{A}_mzz_1.png", "a class that is none"), ("x.png", "no masks")],
)
def test_a_strange_mask_is_refused(tmp_path: Path, name: str, says: str) -> None:
    one = source(tmp_path, TARS | {"m.zip": masks(name)}, {"masks": ["m.zip"]}, "mask", "mask_ends")
    with pytest.raises(DataError, match=says):
        openimages.table(one)


DAMAGES = {
    "cut": "mask: not a readable image",
    "junk": "mask: not a readable image",
    "empty": "mask: not a readable image",
    "changed": "mask: the zip member is damaged",
}


def damaged(data: bytes, how: str) -> bytes:
    return {"cut": data[: len(data) // 2], "junk": b"junk", "empty": b""}.get(how, data)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_mask_is_the_problem_of_its_picture_alone(tmp_path: Path, how: str) -> None:
    whole = png(np.full((20, 20), 255, np.uint8))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in (f"{B}_m01yrx_1.png", f"{A}_m01yrx_1.png", f"{C}_m01yrx_1.png"):
            archive.writestr(name, whole)
        bad = f"{A}_m0bt9lr_1a2b3c4d.png"
        archive.writestr(bad, damaged(whole, how))
        begin = archive.getinfo(bad).header_offset + 30 + len(bad)
    zipped = bytearray(out.getvalue())
    if how == "changed":
        zipped[begin + 45] ^= 1
    fields = ("image", "boxes", "labels", "mask", "mask_ends")
    one = source(tmp_path, TARS | {"m.zip": bytes(zipped)}, {"masks": ["m.zip"]}, *fields)
    found = read(one)
    assert list(found) == [B, A, C]
    problem = found[A].problem
    assert problem and str(problem) == DAMAGES[how]
    assert found[A].values == {"image": jpeg(40, 10)}
    assert f"m.zip: {A}_m0bt9lr: {DAMAGES[how]}" in found[A].remark
    assert all(found[key].problem is None and len(found[key].values["boxes"]) for key in (B, C))
    checks = [check for check in verify.samples(one).checks if not check.ok]
    assert [(check.name, check.message) for check in checks] == [("samples", found[A].remark)]


def test_masks_of_pictures_that_are_not_here_are_none(tmp_path: Path) -> None:
    zipped = masks(f"{'9' * 16}_m01yrx_1.png")
    one = source(tmp_path, TARS | {"m.zip": zipped}, {"masks": ["m.zip"]}, "mask", "mask_ends")
    with pytest.raises(AbsentError, match="no mask of any picture"):
        openimages.table(one)
