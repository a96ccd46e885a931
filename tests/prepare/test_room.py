"""Whether packs fit: what making them takes of the disk, told before it is begun."""

from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from dsets import manifest, prepare
from dsets.errors import PrepareError, UsageError
from dsets.prepare import PackPlan, ledger, room, task

usage = namedtuple("usage", "total used free")

#: The images of ``tiny``, in larger ones: their mean image's sums outweigh so small a shard.
LARGE = """
import numpy as np
from dsets.field import Field

STATISTICS = "image"

def fields(manifest):
    return (Field("image", "uint8", (96, 128, 3)),)

def make(sample):
    return {"image": np.resize(sample.values["image"], (96, 128, 3))}
"""


@pytest.fixture
def large(tiny: Any) -> PackPlan:
    """The training pack of large images, one a shard."""
    path = tiny.folder / "large.py"
    path.write_text(LARGE)
    (one,) = tiny.plan(splits=["train"], pipeline=path).packs
    assert one.samples_per_shard == 1
    return one


def taken(path: Path) -> int:
    """What the files below a folder take of the disk."""
    return sum(one.stat().st_blocks * 512 for one in path.rglob("*") if one.is_file())


def test_the_sums_of_every_shard_are_counted_until_the_pack_is_finished(large: PackPlan) -> None:
    large.part.mkdir(parents=True)
    task.make_shards(large, range(large.shards))
    made = taken(large.part)
    assert large.need_bytes < 0.5 * made
    assert made <= room.peak_bytes([large]) < 1.3 * made
    left = room.peak_bytes([large], begun=True)
    assert left < 0.25 * made


def test_a_job_whose_shards_have_too_many_sums_is_not_begun(
    tiny: Any, large: PackPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 2 * large.need_bytes
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10 * free, 0, free))
    plan = tiny.plan(splits=["train"], pipeline=tiny.folder / "large.py")
    with pytest.raises(PrepareError, match="not enough disk space") as told:
        prepare.run(plan)
    assert f"for the sums of {large.shards} shards, while train is made" in str(told.value)
    assert "or a larger --shard-size" in str(told.value)
    assert not (tiny.folder / "out").exists()
    one = tiny.plan("out", shards=1, splits=["train"])
    (made,) = prepare.run(one)
    assert made.samples == 90


def test_packs_are_made_one_after_the_other_so_only_one_has_its_sums(tiny: Any) -> None:
    train, test = tiny.plan().packs
    alone = room.peak_bytes([train])
    assert room.peak_bytes([train, test]) == max(alone, train.need_bytes + room.peak_bytes([test]))
    assert room.peak_bytes([test]) < test.need_bytes + test.shards * (16 << 10)


def test_encoded_images_have_the_sums_that_their_pipeline_says() -> None:
    found = manifest.find("imagenet")
    ((jpeg,), (pixels,), (varying,)) = (
        prepare.plan(found, splits=["train"], pipeline=name).packs
        for name in ("alexnet_jpeg", "alexnet", "shorter256_jpeg")
    )
    assert jpeg.sums_bytes == pixels.sums_bytes == 8 * (256 * 256 * 3 + 14)
    assert varying.sums_bytes == 8 * 14


def test_the_files_of_sums_are_as_large_as_planned(large: PackPlan) -> None:
    large.part.mkdir(parents=True)
    (record,) = task.make_shards(large, [0])
    assert record.sums is not None
    sums = ledger.statistics(large, record)
    assert sum(array.nbytes for array in sums.arrays()) == large.sums_bytes
    size = os.stat(large.part / "shard-00000.npz").st_size
    assert large.sums_bytes < size < large.sums_bytes + (4 << 10)


@pytest.mark.parametrize("name", ["imagenet", "openimages-v4"])
def test_missing_raw_files_are_named_before_too_many_shards(name: str, tmp_path: Path) -> None:
    plan = prepare.plan(manifest.find(name), out=tmp_path / "out", shard_bytes=1000)
    with pytest.raises(UsageError, match="too many shards"):
        for one in plan.packs:
            prepare.check_index(one, plan.shard_bytes)
    with pytest.raises(PrepareError, match="raw files are missing"):
        prepare.run(plan)
