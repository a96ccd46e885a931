"""Ragged fields in batches, and boxes, keypoints and masks that follow their images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets.codecs import rle
from dsets.errors import UsageError
from dsets.field import Field
from dsets.pack import Pack, finish, samples_digest, shard
from dsets.stream import Batch, Ragged, batches
from dsets.transforms import CentreCrop, Crop, Flip, PadCrop, RandomResizedCrop
from tests import packs

SIZE = (24, 32)
COUNT = 11
FIELDS = (
    Field("image", "uint8", (*SIZE, 3)),
    Field("boxes", "float32", (None, 4)),
    Field("labels", "int64", (None,)),
    Field("keypoints", "float32", (None, 17, 3)),
    Field("class_mask", "uint8", SIZE),
    Field("mask", "uint8", (None,)),
    Field("mask_ends", "int64", (None,)),
    Field("map", "uint8", (None, None)),
)


@given(st.lists(st.lists(st.integers(1, 9), max_size=4), min_size=1, max_size=6), st.integers(0, 5))
def test_a_padded_view_has_each_rows_values(rows: list[list[int]], length: int) -> None:
    offsets = np.cumsum([0, *map(len, rows)])
    ragged = Ragged(np.array([one for row in rows for one in row], np.int64), offsets)
    assert [row.tolist() for row in ragged] == rows and len(ragged) == len(rows)
    assert ragged[-1].tolist() == rows[-1] and len(ragged[:2]) == len(rows[:2])
    longest = max(map(len, rows))
    assert ragged.padded(-1).tolist() == [row + [-1] * (longest - len(row)) for row in rows]
    assert ragged.padded(0, length).tolist() == [(row + [0] * length)[:length] for row in rows]
    assert ragged.lengths.tolist() == list(map(len, rows))


@pytest.mark.parametrize(
    ("dtype", "fill", "fits"),
    [
        ("uint8", -1, "a whole number from 0 to 255"),
        ("uint8", 256, "a whole number from 0 to 255"),
        ("int64", 0.5, "a whole number from -9223372036854775808"),
        ("int64", float("nan"), "a whole number"),
        ("bool", -1, "True or False"),
        ("float32", "x", "a number"),
    ],
)
@pytest.mark.parametrize("tensors", [False, True])
def test_a_fill_that_the_field_cannot_hold_is_refused(
    dtype: str, fill: Any, fits: str, tensors: bool
) -> None:
    values: Any = np.zeros(3, dtype)
    if tensors:
        values = pytest.importorskip("torch").from_numpy(values)
    ragged = Ragged(values, np.array([0, 1, 3]))
    with pytest.raises(UsageError, match=f"a field of {dtype} cannot be padded.*{fits}") as error:
        ragged.padded(fill)
    assert "lengths" in str(error.value)


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [("uint8", 255), ("bool", True), ("bool", 0), ("float32", np.nan), ("i4", -1.0)],
)
def test_a_fill_that_the_field_holds_is_there(dtype: str, fill: Any) -> None:
    padded = Ragged(np.zeros(3, dtype), np.array([0, 1, 3])).padded(fill)
    assert padded.dtype == dtype and np.array_equal(padded[0, 1], fill, equal_nan=True)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """White rectangles on black, each with a class; sample i has i mod 3 of them."""
    folder = tmp_path_factory.mktemp("pack")
    random = np.random.default_rng(3)
    columns: dict[str, list[Any]] = {field.name: [] for field in FIELDS}
    for number in range(COUNT):
        boxes = []
        for _ in range(number % 3):
            x, y = random.integers(0, 24), random.integers(0, 16)
            boxes.append([x, y, x + random.integers(1, 9), y + random.integers(1, 9)])
        masks = [painted(box) for box in boxes]
        image = np.maximum.reduce([np.zeros(SIZE, np.uint8), *masks])
        points = np.zeros((len(boxes), 17, 3), np.float32)
        for i, box in enumerate(boxes):
            points[i, 1] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 2]
        codes, ends = rle.encode(masks)
        columns["image"].append(np.repeat(image[..., None] * 255, 3, 2))
        columns["boxes"].append(np.array(boxes, np.float32).reshape(-1, 4))
        columns["labels"].append(np.arange(len(boxes)))
        columns["keypoints"].append(points)
        columns["class_mask"].append(image * 7)
        columns["mask"].append(codes)
        columns["mask_ends"].append(ends)
        columns["map"].append(np.full((number % 2, number), number, np.uint8))
    keys = [f"train/{i}" for i in range(COUNT)]
    written = []
    for part, rows in enumerate((slice(0, 4), slice(4, COUNT))):
        path = folder / f"shard-{part:05d}.h5"
        values = {
            field.name: np.stack(columns[field.name][rows])
            if field.fixed
            else columns[field.name][rows]
            for field in FIELDS
        }
        written.append(shard.write(path, FIELDS, keys[rows], values))
    finish(
        folder,
        split="train",
        fields=FIELDS,
        shards=written,
        statistics=None,
        statistics_of=None,
        quarantine=(),
        samples_digest=samples_digest(keys),
        provenance={},
    )
    return Pack.open(folder)


def painted(box: Any) -> np.ndarray[Any, Any]:
    xmin, ymin, xmax, ymax = map(round, box)
    image = np.zeros(SIZE, np.uint8)
    image[ymin:ymax, xmin:xmax] = 1
    return image


def test_a_batch_has_values_and_offsets(pack: Pack) -> None:
    for batch in batches(pack, 4, seed=1):
        boxes = batch["boxes"]
        assert isinstance(boxes, Ragged) and boxes.values.dtype == np.float32
        assert boxes.values.shape[1:] == (4,) and batch["keypoints"].values.shape[1:] == (17, 3)
        for row, number in enumerate(batch.index.tolist()):
            for name in ("boxes", "labels", "keypoints", "mask", "mask_ends"):
                assert np.array_equal(batch[name][row], pack[number][name])
            assert np.array_equal(batch["map"][row], pack[number]["map"])
        assert batch["labels"].padded(-1).shape == (len(batch.index), boxes.lengths.max())
        assert boxes.values.flags.writeable


@pytest.mark.parametrize(
    "transform",
    [
        [Crop((13, 17)), Flip()],
        [Flip(), Crop(16)],
        [PadCrop(5), Flip()],
        [CentreCrop(20)],
        [Flip()],
    ],
)
def test_what_is_drawn_follows_the_picture(pack: Pack, transform: list[Any]) -> None:
    seen = 0
    for epoch in range(3):
        stream = batches(pack, 4, seed=epoch, transform=transform)
        for batch in stream:
            for row in range(len(batch.index)):
                image = batch["image"][row]
                image = image[..., 0] if image.shape[-1] == 3 else image[0]
                white, size = image > 127, image.shape
                shown = np.zeros(size, bool)
                for xmin, ymin, xmax, ymax in batch["boxes"][row].astype(int).tolist():
                    shown[ymin:ymax, xmin:xmax] = True
                assert np.array_equal(shown, white)
                mask = batch["class_mask"][row]
                assert np.array_equal(mask == 7, white) and set(np.unique(mask)) <= {0, 7, 255}
                masks = rle.masks(batch["mask"][row], batch["mask_ends"][row], size)
                union = np.maximum.reduce([np.zeros(size, np.uint8), *masks])
                assert np.array_equal(union > 0, white)
                for points, one in zip(batch["keypoints"][row], masks, strict=True):
                    (there,) = np.nonzero(points[:, 2])
                    for x, y, _ in points[there]:
                        cell = one[min(int(y), size[0] - 1), min(int(x), size[1] - 1)]
                        assert cell or one[int(y - 1e-3), int(x - 1e-3)]
                seen += len(batch["boxes"][row])
    assert seen == 3 * sum(i % 3 for i in range(COUNT))


def test_boxes_grow_with_a_resized_crop(pack: Pack) -> None:
    for batch in batches(pack, 4, seed=2, transform=[RandomResizedCrop(40), Flip()]):
        for row in range(len(batch.index)):
            white = batch["image"][row][..., 0] > 127
            sure, maybe = np.zeros((2, 40, 40), bool)
            for xmin, ymin, xmax, ymax in batch["boxes"][row].tolist():
                bottom, right = max(0, round(ymax) - 2), max(0, round(xmax) - 2)
                sure[round(ymin) + 2 : bottom, round(xmin) + 2 : right] = True
                top, left = max(0, round(ymin) - 2), max(0, round(xmin) - 2)
                maybe[top : round(ymax) + 2, left : round(xmax) + 2] = True
            assert not (sure & ~white).any() and not (white & ~maybe).any()
            assert batch["class_mask"][row].shape == (40, 40)


@pytest.mark.parametrize(
    "transform", [[Crop((13, 17)), Flip()], [PadCrop(5), Flip()], [RandomResizedCrop(40), Flip()]]
)
def test_parts_segments_points_and_stuff_follow_as_objects_do(
    pack: Pack, tmp_path: Path, transform: list[Any]
) -> None:
    whole = [pack[number] for number in range(COUNT)]
    columns = {name: [one[name] for one in whole] for name in ("image", "boxes", "class_mask")}
    columns |= {name: [one[name] for one in whole] for name in ("keypoints", "mask", "mask_ends")}
    columns |= {"part_boxes": columns["boxes"], "segment_boxes": columns["boxes"]}
    columns |= {"stuff_mask": columns["mask"], "stuff_mask_ends": columns["mask_ends"]}
    columns["points"] = [
        np.append(one["keypoints"][:, 1, :2], np.full((1, 2), np.nan, np.float32), 0)
        for one in whole
    ]
    columns["panoptic_map"] = [one["class_mask"].astype(np.int32) * 9000 for one in whole]
    fields = (
        *(field for field in FIELDS if field.name in columns),
        *(Field(name, "float32", (None, 4)) for name in ("part_boxes", "segment_boxes")),
        Field("stuff_mask", "uint8", (None,)),
        Field("stuff_mask_ends", "int64", (None,)),
        Field("points", "float32", (None, 2)),
        Field("panoptic_map", "int32", SIZE),
    )
    values = {
        field.name: np.stack(columns[field.name]) if field.fixed else columns[field.name]
        for field in fields
    }
    opened = packs.written(tmp_path, fields, [f"{i:02}" for i in range(COUNT)], values)
    absent = 0
    for batch in batches(opened, 4, seed=4, transform=transform):
        for row in range(len(batch.index)):
            boxes, points = batch["boxes"][row], batch["points"][row]
            assert np.array_equal(batch["part_boxes"][row], boxes)
            assert np.array_equal(batch["segment_boxes"][row], boxes)
            assert np.array_equal(batch["stuff_mask"][row], batch["mask"][row])
            assert np.array_equal(batch["stuff_mask_ends"][row], batch["mask_ends"][row])
            mask = batch["class_mask"][row].astype(np.int32)
            assert np.array_equal(batch["panoptic_map"][row], np.where(mask == 255, 0, mask * 9000))
            assert np.isnan(points[-1]).all() and len(points) == len(boxes) + 1
            # Flip has left and right joints change places.
            for point, joints in zip(points, batch["keypoints"][row], strict=False):
                there = joints[joints[:, 2] > 0]
                absent += not len(there)
                wanted = there[0, :2] if len(there) else [np.nan, np.nan]
                assert np.allclose(point, wanted, atol=1e-4, equal_nan=True)
    assert absent or isinstance(transform[0], PadCrop)


def test_boxes_that_could_not_follow_are_refused(tmp_path: Path, make_pack: Any) -> None:
    fields = (Field("image", "uint8", (None,)), Field("boxes", "float32", (None, 4)))
    values = {"image": [np.ones(3, np.uint8)], "boxes": [np.zeros((1, 4), np.float32)]}
    opened = packs.written(tmp_path, fields, ["a"], values)
    with pytest.raises(UsageError, match="boxes cannot follow the image"):
        batches(opened, 1, transform=[CentreCrop(2)])


def test_tensors_are_ragged_too(pack: Pack) -> None:
    torch = pytest.importorskip("torch")
    batch = next(iter(batches(pack, 6, shuffle=False, device="cpu")))
    boxes = batch["boxes"]
    assert isinstance(boxes, Ragged) and isinstance(boxes.values, torch.Tensor)
    assert boxes.padded(-1).shape == (6, 2, 4) and boxes.padded(0)[4, 1].any() == False  # noqa: E712
    assert torch.equal(boxes[5], torch.from_numpy(pack[5]["boxes"]))


def test_a_batch_tells_ragged_fields_lists_and_arrays_apart() -> None:
    fields = {
        "boxes": Ragged(np.zeros((3, 4), np.float32), np.array([0, 1, 3])),
        "mask": [np.zeros((2, 2)), np.zeros((3, 3))],
        "label": np.arange(2),
    }
    index = np.arange(2)
    batch = Batch(fields, index=index, valid=np.ones(2, np.bool_), epoch=1, position=8)
    words = "boxes: ragged float32 (3, 4), 2 rows, mask: list of 2, label: int64 (2,)"
    assert repr(batch) == f"<Batch epoch 1, position 8; {words}>"
