"""Plans: a pure function of manifest, pipeline and shard size."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets import manifest, pipeline, prepare
from dsets.errors import ManifestError, UsageError
from dsets.pack import extents, strict
from dsets.pack.index import render
from dsets.pack.schema import Extent, Index, Shard

here = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@here
@given(samples=st.integers(1, 10**8), shard_bytes=st.integers(1, 2**40))
def test_every_row_is_in_exactly_one_shard_and_no_shard_is_too_big(
    samples: int, shard_bytes: int
) -> None:
    mnist = manifest.find("mnist")
    split = replace(mnist.splits[0], samples=samples)
    mnist = replace(mnist, splits=(split, *mnist.splits[1:]))
    each = 28 * 28 + 8
    (one,) = prepare.plan(mnist, splits=["train"], shard_bytes=shard_bytes).packs
    assert one.rows(0).start == 0 and one.rows(one.shards - 1).stop == samples
    some = {0, one.shards // 2, one.shards - 2}
    for number in (number for number in some if 0 <= number < one.shards - 1):
        assert one.rows(number).stop == one.rows(number + 1).start
        assert len(one.rows(number)) == one.samples_per_shard
    assert 0 < len(one.rows(one.shards - 1)) <= one.samples_per_shard
    assert one.samples_per_shard == 1 or one.samples_per_shard * each <= shard_bytes


@pytest.mark.parametrize("name", ["openimages-v4", "openimages-masks"])
def test_a_plan_of_nested_reader_options_has_a_digest(name: str) -> None:
    (one,) = prepare.plan(manifest.find(name), splits=["train"]).packs
    assert len(one.digest) == 64
    (_, options) = json.loads(json.dumps(one.as_json()))["reader"]
    assert options["subclasses"]["Bear"][0] == "Brown bear"


def test_a_pack_whose_index_nobody_could_open_is_refused() -> None:
    mnist = manifest.find("mnist")
    splits = (replace(mnist.splits[0], samples=10**9), *mnist.splits[1:])
    many = replace(mnist, splits=splits)
    (one,) = prepare.plan(many, splits=["train"], shard_bytes=1 << 20).packs
    with pytest.raises(UsageError, match="too many shards for the index") as told:
        prepare.check_index(one, 1 << 20)
    least = int(re.sub(r"\D", "", re.findall(r"of ([\d,]+) bytes or more", str(told.value))[0]))
    (one,) = prepare.plan(many, splits=["train"], shard_bytes=least * 101 // 100).packs
    prepare.check_index(one, least * 101 // 100)
    field = Extent(0, 8, "uint8", (8,))
    datasets = dict.fromkeys(extents.of_shard(Shard("", 1, 0, "", {}), one.fields), field)
    shard = Shard("shard-12345.h5", 10**6, 2**40, "0" * 64, datasets)
    index = Index("train", one.fields, (shard,) * one.shards, None, None, (), "0" * 64, {})
    assert len(render(index)) < strict.BYTES


def test_the_training_split_comes_first_whatever_is_asked(tiny: Any) -> None:
    packs = tiny.plan(splits=["test", "train", "test"]).packs
    assert [one.split.name for one in packs] == ["train", "test"]
    assert [one.statistics for one in packs] == ["image", None]


def test_what_decides_no_bytes_is_not_in_the_digest(tiny: Any) -> None:
    digest = tiny.plan().packs[0].digest
    files = tuple(replace(file, addresses=()) for file in tiny.manifest.files)
    edited = replace(tiny.manifest, files=files, title="Other", digest="0" * 64, licence="MIT")
    elsewhere = prepare.plan(edited, out=Path("/elsewhere"), shard_bytes=tiny.shard_bytes(9))
    assert elsewhere.packs[0].digest == digest


def test_what_decides_bytes_is_in_the_digest(tiny: Any) -> None:
    first = tiny.plan().packs[0]
    bigger = tiny.plan(shards=3).packs[0]
    assert first.digest != bigger.digest and first.recipe == bigger.recipe
    files = (replace(tiny.manifest.files[0], sha256="0" * 64), *tiny.manifest.files[1:])
    for other in (
        prepare.plan(replace(tiny.manifest, files=files)).packs[0],
        tiny.plan(pipeline=tiny.recipe("pass")).packs[0],
        tiny.plan(splits=["test"]).packs[0],
    ):
        assert other.recipe != first.recipe and other.digest != first.digest


def test_the_rule_of_a_resize_profile_is_in_the_digest_and_the_machines_library_is_not(
    tiny: Any,
) -> None:
    one = tiny.plan().packs[0]
    found = []
    for scaling, jpeg in (("none", "a"), ("none", "b"), ("DCT 1/2", "a")):
        environment = {"profile": "fast", "filter": "any", "scaling": scaling, "jpeg": jpeg}
        recipe = replace(one.pipeline, _environment=lambda given=environment: given)
        found.append(replace(one, pipeline=recipe).digest)
    assert found[0] == found[1] and len({one.digest, *found}) == 3


def test_the_disk_need_is_about_what_the_packs_take(tiny: Any) -> None:
    plan = tiny.plan()
    prepare.run(plan)
    taken = sum(path.stat().st_size for path in (tiny.folder / "out").rglob("*.h5"))
    assert plan.need_bytes == pytest.approx(taken, rel=0.35)


@pytest.mark.parametrize("name", ["alexnet_jpeg", "shorter256", "shorter256_jpeg"])
def test_shards_of_varying_size_are_planned_by_what_their_pipeline_says(name: str) -> None:
    recipe = pipeline.load(name)
    (one,) = prepare.plan(
        manifest.find("imagenet"), splits=["train"], pipeline=name, shard_bytes=64 << 20
    ).packs
    assert recipe.varying_bytes is not None
    assert 0.95 < one.samples_per_shard * recipe.varying_bytes / (64 << 20) < 1


def test_without_a_pipelines_word_varying_values_are_planned_as_the_raw_files_mean() -> None:
    found = manifest.find("imagenet")
    (one,) = prepare.plan(found, splits=["train"], pipeline="original", shard_bytes=64 << 20).packs
    mean = (found.file("ILSVRC2012_img_train.tar").bytes or 0) / 1_281_167
    assert 0.95 < one.samples_per_shard * mean / (64 << 20) < 1


def test_a_plan_is_json_and_touches_nothing(tiny: Any) -> None:
    before = sorted(tiny.folder.rglob("*"))
    plan = tiny.plan()
    assert json.loads(json.dumps(plan.as_json()))["packs"][0]["shards"] == 9
    assert [prepare.state(one) for one in plan.packs] == ["new", "new"]
    assert sorted(tiny.folder.rglob("*")) == before


def test_nonsense_is_refused(tiny: Any) -> None:
    with pytest.raises(UsageError, match="shard size"):
        prepare.plan(tiny.manifest, shard_bytes=0)
    with pytest.raises(ManifestError, match="no such split"):
        prepare.plan(tiny.manifest, splits=["validation"])


@pytest.mark.parametrize(("shards", "most"), [(1, 1), (4096, 1), (4097, 2), (10_407, 3)])
def test_tasks_are_shards_but_never_more_than_a_few_thousand(
    tiny: Any, shards: int, most: int
) -> None:
    one = tiny.plan().packs[0]
    split = replace(one.split, samples=shards * one.samples_per_shard)
    tasks = replace(one, source=replace(one.source, split=split)).tasks
    assert len(tasks) <= 4096 and max(map(len, tasks)) == most
    assert [number for task in tasks for number in task] == list(range(shards))


def test_fourteen_million_images_are_a_few_thousand_tasks_at_the_default_shard_size() -> None:
    found = manifest.find("imagenet")
    whole = replace(found.splits[0], samples=14_197_122)
    (pack,) = prepare.plan(replace(found, splits=(whole,)), pipeline="alexnet").packs
    assert pack.shards > 10_000
    assert 3_000 < len(pack.tasks) <= 4_096
