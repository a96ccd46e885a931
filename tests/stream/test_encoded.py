"""Streams of packs whose images are encoded, each of its own size."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsets import codecs, stream
from dsets.errors import PackError, StreamError, UsageError
from dsets.field import Field
from dsets.pack import Pack
from dsets.stream.gather import Strings
from dsets.transforms import (
    CentreCrop,
    Crop,
    Flip,
    Lighting,
    Normalise,
    PadCrop,
    RandomResizedCrop,
    SubtractMean,
    TenCrop,
)
from dsets.transforms.encoded import Encoded
from dsets.transforms.random import Draws
from dsets.transforms.recipe import parse
from dsets.transforms.view import Views
from tests import packs
from tests.codecs import jpegs

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
LIGHTING = Lighting((0.2, 0.02, 0.004), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
MEAN_IMAGE = np.random.default_rng(1).uniform(80, 140, (40, 48, 3)).astype(np.float32)
ENCODED = Field("image", "uint8", (None,))
Write = Callable[[Field, Sequence[Any]], Pack]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(field, images)``: a pack of two shards."""

    def make(field: Field, images: Sequence[Any]) -> Pack:
        folder = tmp_path / f"{field.dtype}-{len(list(tmp_path.iterdir()))}"
        keys = [f"train/{i:03d}" for i in range(len(images))]
        values: Any = images
        if not field.fixed:
            values = [np.frombuffer(value, np.uint8) for value in images]
        return packs.written(folder, [field], keys, {"image": values}, shards=2)

    return make


def same_size(count: int) -> list[bytes]:
    kinds = sorted(jpegs.KINDS)
    return [jpegs.jpeg(40, 48, kinds[i % len(kinds)], seed=i) for i in range(count)]


def several(count: int) -> list[bytes]:
    return [jpegs.jpeg(33 + 5 * i, 61 - 3 * i, seed=i) for i in range(count)]


RECIPES = {
    "crop": [Crop((24, 32))],
    "centre": [CentreCrop(30), Normalise(MEAN, STD, "float16")],
    "flip first": [Flip(), Crop(24), Normalise(MEAN, STD)],
    "pad": [PadCrop(4), Flip(), Normalise(MEAN, STD)],
    "boxes": [RandomResizedCrop(20), Flip(), Normalise(MEAN, STD)],
    "lighting": [Crop(24), LIGHTING, Normalise(MEAN, STD)],
    "flip": [Flip()],
    "normalise": [Normalise(MEAN, STD)],
    "mean image": [Crop(24), Flip(), SubtractMean(MEAN_IMAGE)],
    "mean image, light": [PadCrop(4), Flip(), LIGHTING, SubtractMean(MEAN_IMAGE, "float16")],
    "mean image alone": [SubtractMean(MEAN_IMAGE)],
    "ten crops": [TenCrop((24, 31))],
    "ten crops less the mean": [TenCrop(24), SubtractMean(MEAN_IMAGE)],
}


BOXES = [RandomResizedCrop(24), Flip(), LIGHTING, Normalise(MEAN, STD)]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_raw_and_an_encoded_pack_of_the_same_samples_give_the_same_batches(
    write: Write, recipe: list[Any]
) -> None:
    images = same_size(11)
    encoded = write(ENCODED, images)
    raw = write(
        Field("image", "uint8", (40, 48, 3)), np.stack([codecs.decode(data) for data in images])
    )
    streams = [stream.batches(pack, 4, seed=3, transform=recipe) for pack in (raw, encoded)]
    for _epoch in range(2):
        for one, other in zip(*streams, strict=True):
            np.testing.assert_array_equal(one.index, other.index)
            assert one["image"].dtype == other["image"].dtype
            np.testing.assert_array_equal(one["image"], other["image"])


@pytest.mark.parametrize("recipe", [RECIPES["crop"], RECIPES["centre"], RECIPES["flip first"]])
def test_images_of_several_sizes_are_cropped_out_of_their_own(
    write: Write, recipe: list[Any]
) -> None:
    images = several(7)
    pack = write(ENCODED, images)
    for batch in stream.batches(pack, 7, seed=5, transform=recipe):
        for row, number in enumerate(batch.index.tolist()):
            alone = write(
                Field("image", "uint8", codecs.decode(images[number]).shape),
                np.stack([codecs.decode(images[number])] * 2),
            )
            kernel = parse(recipe, alone.fields)
            views = kernel.choose(
                alone[0]["image"].shape[:2],
                Draws(5, 0, np.concatenate(pack.arrays("key_hash"))[[number]]),
            )
            top, left = int(views.top[0]), int(views.left[0])
            height, width = views.size
            shown = alone[0]["image"][top : top + height, left : left + width]
            if views.mirrored is not None and views.mirrored[0]:
                shown = shown[:, ::-1]
            if kernel.normal:
                scaled = shown.astype(np.float32) * kernel.normal.scale + kernel.normal.bias
                shown = scaled.transpose(2, 0, 1).astype(kernel.normal.dtype)
            np.testing.assert_array_equal(batch["image"][row], shown)


@pytest.mark.parametrize("images", [same_size(9), several(9)], ids=["same", "several"])
def test_random_boxes_are_resized_as_pillow_does(write: Write, images: list[bytes]) -> None:
    crop = RandomResizedCrop((20, 28))
    pack = write(ENCODED, images)
    hashes = np.concatenate(pack.arrays("key_hash"))
    batches = stream.batches(pack, 4, seed=2, transform=[Flip(), crop])
    seen = 0
    for _epoch in range(2):
        for batch in batches:
            draws = Draws(2, batch.epoch, hashes[batch.index])
            height, width = np.array([codecs.size_of(images[i]) for i in batch.index]).T
            boxes = crop.boxes(draws, height, width)
            mirrored = Flip().choose(Views((1, 1)), draws).mirrored
            assert mirrored is not None
            for row, number in enumerate(batch.index.tolist()):
                top, left, tall, wide = (
                    int(values[row])
                    for values in (boxes.top, boxes.left, boxes.height, boxes.width)
                )
                if mirrored[row]:  # the box was chosen in the mirrored image
                    left = int(width[row]) - wide - left
                whole = Image.fromarray(codecs.decode(images[number]))
                shown = whole.crop((left, top, left + wide, top + tall))
                shown = shown.resize((28, 20), Image.Resampling.BILINEAR)
                expected = np.asarray(shown)[:, :: -1 if mirrored[row] else 1]
                np.testing.assert_array_equal(batch["image"][row], expected)
                seen += 1
    assert seen == 18


def test_the_portable_path_gives_the_same_bits(write: Write) -> None:
    pack = write(ENCODED, several(6))
    strings = Strings(pack.arrays("image"), pack.arrays("offsets/image"), pack.starts)
    for recipe in (*(RECIPES[name] for name in ("crop", "centre", "flip first")), BOXES):
        made = []
        for native in (True, False):
            column = Encoded(strings, parse(recipe, pack.fields), native)
            out = np.zeros((6, *column.shape), column.dtype)
            draws = Draws(1, 2, np.arange(6, dtype=np.uint64))
            assert column.fill(np.arange(6), draws, out) == ()
            made.append(out)
        np.testing.assert_array_equal(made[0], made[-1])


@pytest.mark.parametrize("name", ["mean image, light", "ten crops less the mean"])
def test_and_of_a_mean_image_and_ten_crops(write: Write, name: str) -> None:
    pack = write(ENCODED, same_size(5))
    strings = Strings(pack.arrays("image"), pack.arrays("offsets/image"), pack.starts)
    made = []
    for native in (True, False):
        column = Encoded(strings, parse(RECIPES[name], pack.fields), native, size=(40, 48))
        out = np.zeros((5, *column.shape), column.dtype)
        assert column.fill(np.arange(5), Draws(1, 2, np.arange(5, dtype=np.uint64)), out) == ()
        made.append(out)
    np.testing.assert_array_equal(*made)


def test_an_image_unlike_the_mean_image_is_an_error_that_names_both(write: Write) -> None:
    pack = write(ENCODED, several(6))
    with (
        stream.batches(pack, 6, transform=[Crop(24), SubtractMean(MEAN_IMAGE)]) as batches,
        pytest.raises(StreamError, match="expected 40 by 48 pixels, as the mean image"),
    ):
        next(iter(batches))


def test_an_unreadable_image_is_one_row_of_ten_crops(write: Write) -> None:
    pack = write(ENCODED, [*same_size(2), b"no image"])
    strings = Strings(pack.arrays("image"), pack.arrays("offsets/image"), pack.starts)
    column = Encoded(strings, parse([TenCrop(24)], pack.fields))
    out = np.zeros((3, *column.shape), column.dtype)
    found = column.fill(np.arange(3), Draws(1, 2, np.arange(3, dtype=np.uint64)), out)
    assert [one.row for one in found] == [2]


def test_every_readable_format_can_stand_in_a_pack(write: Write) -> None:
    png = io.BytesIO()
    Image.fromarray(jpegs.pixels(40, 50)).save(png, "PNG")
    cmyk = io.BytesIO()
    Image.fromarray(jpegs.pixels(40, 50)).convert("CMYK").save(cmyk, "JPEG")
    pack = write(ENCODED, [png.getvalue(), cmyk.getvalue(), jpegs.jpeg(40, 50)])
    batches = stream.batches(pack, 3, shuffle=False, transform=[CentreCrop(32)])
    batch = next(iter(batches))
    for row in range(3):
        whole = codecs.decode(pack[row]["image"].tobytes())
        np.testing.assert_array_equal(batch["image"][row], whole[4:36, 9:41])


def test_without_geometry_the_encoded_bytes_come_as_a_list(write: Write) -> None:
    images = several(4)
    batch = next(iter(stream.batches(write(ENCODED, images), 4, shuffle=False)))
    assert [value.tobytes() for value in batch["image"]] == images


def test_rows_that_cannot_be_shown_are_reported_one_by_one(write: Write) -> None:
    images = [*several(3), b"no image", jpegs.jpeg(60, 60)[:-40]]
    pack = write(ENCODED, images)
    strings = Strings(pack.arrays("image"), pack.arrays("offsets/image"), pack.starts)
    found = []
    for native in (True, False):
        column = Encoded(strings, parse([Crop(24)], pack.fields), native)
        out = np.zeros((5, *column.shape), column.dtype)
        failed = column.fill(np.arange(5), Draws(0, 0, np.arange(5, dtype=np.uint64)), out)
        assert [unreadable.row for unreadable in failed] == [3, 4]
        assert "not a readable image" in failed[0].reason and "truncated" in failed[1].reason
        found.append((failed, out[:3]))
    assert found[0][0] == found[-1][0]
    np.testing.assert_array_equal(found[0][1], found[-1][1])


@pytest.mark.parametrize(("mark", "bad"), [(b"\xff\xda", 1), (b"\xff\xc4", 1), (b"\xff\xfe", 0)])
def test_a_mark_amid_the_data_has_one_fate_wherever_the_crop_is(
    write: Write, mark: bytes, bad: int
) -> None:
    whole = jpegs.jpeg(64, 64)
    broken = whole[:-40] + mark + whole[len(mark) - 40 :]
    pack = write(ENCODED, [whole, broken])
    strings = Strings(pack.arrays("image"), pack.arrays("offsets/image"), pack.starts)
    for recipe in ([CentreCrop(8)], [RandomResizedCrop(8, (0.1, 0.1)), Normalise(MEAN, STD)]):
        fates = []
        for native in (True, False):
            column = Encoded(strings, parse(recipe, pack.fields), native)
            out = np.zeros((2, *column.shape), column.dtype)
            fates.append(column.fill(np.arange(2), Draws(0, 0, np.arange(2, dtype=np.uint64)), out))
        assert fates[0] == fates[1] and len(fates[0]) == bad


def test_an_unreadable_sample_is_named(write: Write) -> None:
    pack = write(ENCODED, [*several(3), b"no image"])
    with pytest.raises(PackError, match=r"train/003: unreadable sample.*not a readable image"):
        list(stream.batches(pack, 2, transform=[Crop(24)], unreadable="raise"))


def test_promise_5_an_image_that_does_not_decode_has_a_substitute(write: Write) -> None:
    pack = write(ENCODED, [*several(3), b"no image"])
    with stream.batches(pack, 2, transform=[Crop(24)]) as made:
        with pytest.warns(UserWarning, match="'train/003': image: not a readable image"):
            shown = list(made)
        assert len(shown) == 2 and sum(int(batch.substituted.sum()) for batch in shown) == 1
        assert not any((batch.index == 3).any() for batch in shown)
        assert list(made.unreadable) == ["train/003"]


def test_sizes_that_make_no_batch_are_refused(write: Write) -> None:
    pack = write(ENCODED, several(4))
    with pytest.raises(
        StreamError, match=r"image of sample .train/000.: images.*at least 50 by 24.*got 33 by 61"
    ):
        list(stream.batches(pack, 4, shuffle=False, transform=[Crop((50, 24))]))
    with pytest.raises(
        StreamError,
        match=r"image of sample .train/00[1-9].: images.*33 by 61 pixels.*got 38 by 58",
    ):
        list(stream.batches(pack, 4, shuffle=False, transform=[Flip()]))


@pytest.mark.parametrize("recipe", [[Flip()], [PadCrop(2), Normalise(MEAN, STD)]])
def test_images_that_keep_their_size_have_that_of_the_first_readable_one(
    write: Write, recipe: list[Any]
) -> None:
    images = [b"no image", *same_size(4)]
    with pytest.warns(UserWarning, match="'train/000'"):
        shown = list(stream.batches(write(ENCODED, images), 2, transform=recipe))
    assert sum(len(batch.index) for batch in shown) == 5
    with pytest.raises(StreamError, match="no image can be read"):
        stream.batches(write(ENCODED, [b"no image"] * 3), 2, transform=recipe)


def test_normalise_needs_three_channels(write: Write) -> None:
    with pytest.raises(UsageError, match="3 channels"):
        stream.batches(write(ENCODED, several(2)), 2, transform=[Crop(8), Normalise((1,), (1,))])
