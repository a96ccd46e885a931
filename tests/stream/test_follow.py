"""Which fields follow their images, and which packs are refused since theirs could not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import manifest, pipeline
from dsets.errors import PipelineError, UsageError
from dsets.field import Field
from dsets.pack import Pack
from dsets.stream import as_iterable, batches
from dsets.stream.follow import drawn
from dsets.transforms import CentreCrop, Crop, Flip, Normalise, PadCrop, RandomResizedCrop
from tests import packs

SIZE = (20, 30)
IMAGE = Field("image", "uint8", (*SIZE, 3))
STILL = [Normalise((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))]


def made(folder: Path, *fields: Field, fill: int = 0) -> Pack:
    """Three samples, one value each where sizes vary."""
    columns: dict[str, Any] = {}
    for field in (IMAGE, *fields):
        one = np.full([size or 1 for size in field.shape], fill, field.dtype)
        columns[field.name] = np.stack([one] * 3) if field.fixed else [one] * 3
    return packs.written(folder, (IMAGE, *fields), list("abc"), columns)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Field("boxes", "float64", (None, 4)), r"boxes: float32 \(\?, 4\)"),
        (Field("boxes", "int64", (None, 4)), r"boxes: float32 \(\?, 4\)"),
        (Field("boxes", "float32", (4,)), r"boxes: float32 \(\?, 4\)"),
        (Field("part_boxes", "float32", (None, 5)), r"part_boxes: float32 \(\?, 4\)"),
        (Field("keypoints", "float64", (None, 17, 3)), r"keypoints: float32 \(\?, 17, 3\)"),
        (Field("keypoints", "float32", (None, 21, 3)), r"keypoints: float32 \(\?, 17, 3\)"),
        (Field("points", "float32", (2,)), r"points: float32 \(\?, 2\)"),
        (Field("mask", "uint8", SIZE), r"mask: uint8 \(\?,\)"),
        (Field("mask", "int64", ()), r"mask: uint8 \(\?,\)"),
        (Field("class_mask", "uint8", (*SIZE, 1)), r"class_mask: uint8 \(20, 30\)"),
        (Field("object_mask", "uint8", (10, 15)), r"object_mask: uint8 \(20, 30\)"),
        (Field("panoptic_map", "int32", (None, None)), r"panoptic_map: int32 \(20, 30\)"),
    ],
)
def test_a_field_of_another_kind_that_could_not_follow_is_refused(
    tmp_path: Path, field: Field, expected: str
) -> None:
    pack = made(tmp_path, field)
    for move in (CentreCrop((10, 12)), Crop(8), PadCrop(2), Flip(), RandomResizedCrop(9)):
        with pytest.raises(UsageError, match=f"the field '{field.name}' could not") as caught:
            batches(pack, 3, transform=[move])
        assert caught.match(f"expected {expected}.*, got {field.name}: {field.dtype} .*other name")
    for still in ([], STILL):
        (batch,) = batches(pack, 3, shuffle=False, transform=still)
        assert np.array_equal(batch[field.name][0], pack[0][field.name])


@pytest.mark.parametrize("name", ["mask", "stuff_mask"])
@pytest.mark.parametrize(
    "ends", [(), ("int32", (None,)), ("int64", (1,))], ids=["none", "int32", "one"]
)
def test_masks_without_their_ends_are_refused(tmp_path: Path, name: str, ends: Any) -> None:
    fields = [Field(name, "uint8", (None,)), *([Field(f"{name}_ends", *ends)] if ends else [])]
    pack = made(tmp_path, *fields)
    got = f"{name}_ends: {ends[0]}" if ends else "no such field"
    expected = rf"'{name}' could not .* expected {name}_ends: int64 \(\?,\), got {got}"
    with pytest.raises(UsageError, match=expected):
        batches(pack, 3, transform=[Flip()])
    assert len(list(batches(pack, 3, transform=STILL))) == 1


def test_what_is_refused_is_refused_before_a_loader_has_workers(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pack = made(tmp_path, Field("boxes", "float64", (None, 4)))
    with pytest.raises(UsageError, match="the field 'boxes' could not follow"):
        as_iterable(pack, 3, transform=[Flip()])


def test_fields_of_other_names_stay_as_they_are(tmp_path: Path) -> None:
    fields = [
        Field("box", "float64", (None, 4)),
        Field("masks", "uint8", SIZE),
        Field("mask_ends", "int64", ()),
        Field("areas", "float32", (None,)),
    ]
    pack = made(tmp_path, *fields, fill=9)
    (batch,) = batches(pack, 3, shuffle=False, transform=[CentreCrop(10), Flip()])
    for field in fields:
        assert np.array_equal(batch[field.name][0], pack[0][field.name])


@pytest.mark.parametrize(
    ("name", "dtype", "beyond"),
    [
        ("class_mask", "uint8", 255),
        ("class_mask", "uint16", 65535),
        ("object_mask", "int64", 255),
        ("panoptic_map", "int32", 0),
        ("panoptic_map", "bool", 0),
    ],
)
def test_maps_of_any_type_that_holds_void_show_it_beyond_the_image(
    tmp_path: Path, name: str, dtype: str, beyond: int
) -> None:
    pack = made(tmp_path, Field(name, dtype, SIZE), fill=1)
    stream = batches(pack, 3, transform=[PadCrop(6)])
    seen: set[int] = set()
    for _ in range(3):
        for batch in stream:
            assert batch[name].dtype == dtype and batch[name].shape == (3, *SIZE)
            seen |= set(np.unique(batch[name]).tolist())
    assert seen == {1, beyond}


@pytest.mark.parametrize("dtype", ["bool", "int8"])
def test_a_map_that_cannot_hold_void_is_refused_only_where_it_would_show_it(
    tmp_path: Path, dtype: str
) -> None:
    pack = made(tmp_path, Field("class_mask", dtype, SIZE), fill=1)
    with pytest.raises(UsageError, match=r"class_mask: uint8 .*another type that holds 255, got"):
        batches(pack, 3, transform=[PadCrop(2)])
    (batch,) = batches(pack, 3, transform=[CentreCrop(10), Flip()])
    assert batch["class_mask"].shape == (3, 10, 10) and batch["class_mask"].all()


def test_what_the_shipped_pipelines_make_of_the_shipped_datasets_follows() -> None:
    followed = set()
    for known in map(manifest.find, manifest.names()):
        for made_by in map(pipeline.load, pipeline.names()):
            try:
                fields = {field.name: field for field in made_by.fields(known)}
            except PipelineError:  # not for this dataset
                continue
            image = fields.get("image")
            if image is not None and image.fixed:
                height, width, _ = image.shape
                followed |= {*drawn(fields.values(), (height or 0, width or 0), True)}
    assert followed == {
        *("boxes", "segment_boxes", "keypoints", "mask", "class_mask", "panoptic_map"),
    }
