"""Damaged offsets of fields of varying length, where nothing is compared with checksums."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import extension
from dsets.codecs import rle
from dsets.errors import PackError
from dsets.field import Field
from dsets.pack import Pack
from dsets.stream import batches, golden
from dsets.transforms import CentreCrop
from tests import packs

COUNT = 12
SIZE = (6, 8)
#: The second shard has samples 4 to 7; the end of its third one is damaged.
TORN = (6, 7)
FIELDS = (
    Field("image", "uint8", (*SIZE, 3)),
    Field("boxes", "float32", (None, 4)),
    Field("keypoints", "float32", (None, 17, 3)),
    Field("mask", "uint8", (None,)),
    Field("mask_ends", "int64", (None,)),
)

pytestmark = pytest.mark.filterwarnings("ignore:.*other samples are shown")


@pytest.fixture(autouse=True, params=["native", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(extension, "native", None)
        monkeypatch.setattr(extension, "checksum", False)
    elif extension.native is None:
        pytest.skip("the extension was not built")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    random = np.random.default_rng(5)
    masks = [rle.encode([random.integers(0, 2, SIZE)] * 2) for _ in range(COUNT)]
    columns: dict[str, Any] = {
        "image": random.integers(0, 256, (COUNT, *SIZE, 3), np.uint8),
        "boxes": [random.random((2, 4), np.float32) for _ in range(COUNT)],
        "keypoints": [np.zeros((2, 17, 3), np.float32) for _ in range(COUNT)],
        "mask": [codes for codes, _ in masks],
        "mask_ends": [ends for _, ends in masks],
    }
    keys = [f"{number:02}" for number in range(COUNT)]
    return packs.written(tmp_path_factory.mktemp("whole"), FIELDS, keys, columns, shards=3)


def damaged(whole: Pack, folder: Path, field: str, row: int, change: int) -> Pack:
    """A copy in whose second shard an offset of a field is another one."""
    shutil.copytree(whole.path, folder)
    recorded = whole.index.shards[1]
    place = recorded.datasets[f"offsets/{field}"]
    offset = int(whole.arrays(f"offsets/{field}")[1][row]) + change
    with open(folder / recorded.name, "r+b") as file:
        file.seek(place.offset + 8 * row)
        file.write(offset.to_bytes(8, "little", signed=True))
    return Pack.open(folder)


@pytest.mark.parametrize("verify", ["never", "first", "always"])
@pytest.mark.parametrize(("field", "change"), [("boxes", 1), ("boxes", -3), ("keypoints", 3)])
def test_promise_5_a_row_between_torn_bounds_is_unreadable(
    whole: Pack, tmp_path: Path, field: str, change: int, verify: str
) -> None:
    pack = damaged(whole, tmp_path / "torn", field, 3, change)
    stream = batches(pack, 5, seed=1, verify=verify)
    for ours, theirs in zip(stream, batches(whole, 5, seed=1), strict=True):
        assert (ours.substituted == np.isin(theirs.index, TORN)).all()
        for row, number in enumerate(ours.index.tolist()):
            for name in ("boxes", "keypoints", "mask", "mask_ends"):
                assert np.array_equal(ours[name][row], whole[number][name])
    assert sorted(stream.unreadable) == [f"{number:02}" for number in TORN]
    assert all(
        "a value of another size than its shape" in why for why in stream.unreadable.values()
    )
    for argument in ({"shuffle": False}, {"unreadable": "raise"}):
        with pytest.raises(PackError, match=f"0[67]: unreadable sample; got .*{field}.*repair"):
            list(batches(Pack.open(pack.path), 5, verify=verify, **argument))  # type: ignore[arg-type]
    with pytest.raises(PackError, match="another size than its shape"):
        pack[TORN[0]]


@pytest.mark.parametrize("field", ["mask", "mask_ends"])
def test_promise_5_masks_that_are_none_between_damaged_bounds_are_unreadable(
    whole: Pack, tmp_path: Path, field: str
) -> None:
    """Any length of theirs is a whole number of values."""
    pack = damaged(whole, tmp_path / "torn", field, 3, 1)
    stream = batches(pack, 5, verify="never", transform=[CentreCrop(4)])
    shown = np.concatenate([batch.index for batch in stream])
    assert len(shown) == COUNT and not np.isin(shown, TORN).any()
    assert sorted(stream.unreadable) == [f"{number:02}" for number in TORN]
    with pytest.raises(PackError, match="unreadable sample; got mask: bad ends of masks"):
        list(batches(pack, 5, shuffle=False, verify="never", transform=[CentreCrop(4)]))


@pytest.mark.parametrize("verify", ["never", "first"])
@pytest.mark.parametrize(("row", "change"), [(3, -20), (3, 1 << 20), (4, 4), (4, -4), (0, 4)])
def test_a_shard_whose_offsets_fall_or_lead_outside_is_not_opened(
    whole: Pack, tmp_path: Path, row: int, change: int, verify: str
) -> None:
    pack = damaged(whole, tmp_path / "torn", "boxes", row, change)
    for read in (
        lambda: batches(pack, 5, verify=verify),
        lambda: golden.digest(pack, 1, 1),
        lambda: pack[TORN[0]],
    ):
        with pytest.raises(PackError, match="offsets that fall or lead outside"):
            read()


def test_no_other_fields_than_the_image_enter_the_golden_digest(
    whole: Pack, tmp_path: Path
) -> None:
    pack = damaged(whole, tmp_path / "torn", "boxes", 3, 1)
    image = {"image": [whole[number]["image"] for number in range(COUNT)]}
    keys = whole.keys(range(COUNT))
    alone = packs.written(tmp_path / "alone", FIELDS[:1], keys, image)
    assert golden.digest(pack, 1, 2) == golden.digest(whole, 1, 2) == golden.digest(alone, 1, 2)


def test_a_golden_digest_takes_packs_whose_boxes_could_not_follow_and_those_without_images(
    tmp_path: Path,
) -> None:
    fields = (FIELDS[0], Field("boxes", "int64", (4,)))
    columns = {"image": np.zeros((3, *SIZE, 3), np.uint8), "boxes": np.zeros((3, 4), np.int64)}
    assert golden.digest(packs.written(tmp_path / "a", fields, list("abc"), columns), 1, 1)
    boxes = {"boxes": columns["boxes"]}
    assert golden.digest(packs.written(tmp_path / "b", fields[1:], list("abc"), boxes), 1, 1)
