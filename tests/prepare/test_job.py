"""Jobs: the promises at the top of ``dsets.prepare`` that need no violence."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import prepare
from dsets.errors import DataError, PipelineError, PrepareError, UsageError
from dsets.locks import holding
from dsets.pack import Pack
from dsets.prepare import folder
from dsets.progress import Event

Hashes = Callable[[Path], dict[str, str]]


def test_promise_1_the_same_bytes_for_any_number_of_workers(
    tiny: Any, hashes: Hashes, debris: Callable[[Path], list[str]]
) -> None:
    prepare.run(tiny.plan("here"))
    expected = hashes(tiny.folder / "here")
    assert sum(name.startswith("train/shard") for name in expected) == 9
    for workers in (1, 2, 3):
        prepare.run(tiny.plan(f"out{workers}"), workers=workers)
        assert hashes(tiny.folder / f"out{workers}") == expected
    assert debris(tiny.folder) == []


def test_a_cluster_of_ones_own_gives_the_same_bytes(tiny: Any, hashes: Hashes) -> None:
    from distributed import LocalCluster

    prepare.run(tiny.plan("here"))
    with LocalCluster(
        n_workers=2,
        threads_per_worker=2,
        dashboard_address="127.0.0.1:0",
        local_directory=str(tiny.folder / "scratch"),
    ) as cluster:
        prepare.run(tiny.plan("there"), scheduler=cluster.scheduler_address)
        prepare.run(tiny.plan("again"), scheduler=cluster.scheduler_address)
    assert hashes(tiny.folder / "there") == hashes(tiny.folder / "here")
    assert hashes(tiny.folder / "again") == hashes(tiny.folder / "here")


def test_the_pack_holds_every_sample_in_the_readers_order(tiny: Any) -> None:
    prepare.run(tiny.plan())
    for split, images in tiny.images.items():
        pack = Pack.open(tiny.folder / "out" / split)
        rows = pack[: len(pack)]
        assert np.array_equal(rows["image"], images)
        assert rows["label"].tolist() == [n % 10 for n in range(len(images))]
        assert pack.keys(range(2)) == [f"{split}/00000", f"{split}/00001"]


def test_statistics_equal_a_direct_computation_over_all_images(tiny: Any) -> None:
    prepare.run(tiny.plan())
    statistics = Pack.open(tiny.folder / "out" / "train").statistics
    assert statistics is not None
    direct = tiny.images["train"].astype(np.float64)
    np.testing.assert_allclose(statistics.mean_image, direct.mean(axis=0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(statistics.channel_std, [direct.std()], rtol=0, atol=1e-9)


def test_only_the_training_pack_has_statistics_and_the_other_names_it(tiny: Any) -> None:
    train, test = prepare.run(tiny.plan())
    assert train.statistics is not None and train.statistics_of is None
    assert test.statistics is None and test.statistics_of == train.digest


def test_a_test_pack_made_first_is_linked_when_the_training_pack_comes(
    tiny: Any, hashes: Hashes
) -> None:
    (alone,) = prepare.run(tiny.plan(splits=["test"]))
    assert alone.statistics_of is None
    train, test = prepare.run(tiny.plan())
    assert test.statistics_of == train.digest
    assert test.digest == alone.digest
    prepare.run(tiny.plan("both"))
    assert hashes(tiny.folder / "both") == hashes(tiny.folder / "out")


def test_provenance_says_where_the_pack_comes_from_and_nothing_of_the_run(tiny: Any) -> None:
    train, _ = prepare.run(tiny.plan())
    assert train.provenance["raw"] == {
        name: f"sha256:{tiny.manifest.file(name).sha256}"
        for name in ("train-images", "train-labels")
    }
    assert train.provenance["manifest"] == tiny.manifest.digest
    assert train.provenance["pipeline"]["name"] == "as_is"
    assert str(tiny.folder) not in (tiny.folder / "out/train/index.json").read_text()


def test_missing_raw_files_are_named_with_the_command_that_fetches_them(tiny: Any) -> None:
    (tiny.folder / "home/raw/tiny/test-labels").unlink()
    with pytest.raises(PrepareError, match="test-labels; run 'dsets fetch tiny'"):
        prepare.run(tiny.plan())
    assert not (tiny.folder / "out").exists()


def test_a_raw_file_with_a_flipped_bit_is_refused(tiny: Any) -> None:
    path = tiny.folder / "home/raw/tiny/train-images"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(PrepareError, match="train-images"):
        prepare.run(tiny.plan())


def test_a_manifest_that_promises_another_number_of_samples_fails(tiny: Any) -> None:
    splits = (replace(tiny.manifest.splits[0], samples=89), *tiny.manifest.splits[1:])
    wrong = replace(tiny.manifest, splits=splits)
    with pytest.raises(DataError):
        prepare.run(prepare.plan(wrong, out=tiny.folder / "out"))
    assert not (tiny.folder / "out/train").exists()


def test_an_error_about_a_value_names_the_pipelines_file_and_the_sample(tiny: Any) -> None:
    recipe = tiny.recipe('return {"image": "no", "label": 1}')
    with pytest.raises(PipelineError, match="of another kind than its field") as error:
        prepare.run(tiny.plan(pipeline=recipe))
    assert str(error.value.where) == f"{recipe}, sample train/00000"


@pytest.mark.parametrize("workers", [None, 1])
def test_a_pipelines_mistake_names_the_sample(tiny: Any, workers: int | None) -> None:
    recipe = tiny.recipe('if sample.key == "train/00042": return {"image": 1}')
    with pytest.raises(PipelineError, match=r"sample train/00042.*no label"):
        prepare.run(tiny.plan(pipeline=recipe), workers=workers)
    recipe = tiny.recipe('if sample.key == "train/00042": 1 / 0')
    with pytest.raises(
        PipelineError, match=r"train/00042: make.* failed in line 13: ZeroDivisionError"
    ):
        prepare.run(tiny.plan(pipeline=recipe), workers=workers)


def test_promise_4_of_many_jobs_on_one_pack_one_does_the_work(tiny: Any) -> None:
    recipe = tiny.recipe('with (HERE / "made").open("a") as f: f.write(sample.key + "\\n")')
    plan = tiny.plan(pipeline=recipe)
    found = []
    jobs = [threading.Thread(target=lambda: found.append(prepare.run(plan))) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(found) == 4 and len({index for index, _ in map(_digests, found)}) == 1
    assert len((tiny.folder / "made").read_text().split()) == 90 + 31


def test_a_job_that_waited_for_another_plans_pack_leaves_no_empty_folder(tiny: Any) -> None:
    prepare.run(tiny.plan("calm", splits=["train"]))
    plan = tiny.plan(shards=3, splits=["train"])
    (one,) = plan.packs
    one.out.parent.mkdir()
    waiting = threading.Event()

    def tell(event: Event) -> None:
        if "waiting for it" in event.message:
            waiting.set()

    with ThreadPoolExecutor(1) as pool:
        with holding(one.part, folder=True):
            job = pool.submit(prepare.run, plan, progress=tell)
            assert waiting.wait(60)
            (tiny.folder / "calm" / "train").rename(one.out)
        with pytest.raises(PrepareError, match="a pack made by another plan"):
            job.result()
    assert [path.name for path in one.out.parent.iterdir()] == ["train"]


def test_promise_4_files_that_another_job_renames_meanwhile_are_no_error(tiny: Any) -> None:
    plan = tiny.plan()
    (part := plan.packs[0].part).mkdir(parents=True)
    gone = part / ".shard-00000.h5.1-1.part"
    gone.symlink_to("nowhere")  # listed, yet not there when it is looked at
    assert folder.begun_bytes(plan.packs[0]) == 0
    assert len(prepare.run(plan)) == 2 and not gone.is_symlink()


def test_promise_4_a_job_that_finishes_leaves_the_index_that_another_one_is_linking(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny.plan()
    flush = folder.flush

    def meanwhile(path: Path) -> None:
        flush(path)
        if path == plan.packs[0].out.parent and not plan.packs[1].out.exists():
            (plan.packs[0].out / ".index.json.1-1.part").write_text("{")
            (plan.packs[0].out / "shard-00000.json").write_text("{")

    monkeypatch.setattr(folder, "flush", meanwhile)
    prepare.run(plan)
    left = {path.name for path in plan.packs[0].out.iterdir()}
    assert ".index.json.1-1.part" in left and "shard-00000.json" not in left


def _digests(indices: Any) -> tuple[str, ...]:
    return tuple(index.digest for index in indices)


def test_progress_counts_every_sample_and_ends(tiny: Any) -> None:
    events: list[Event] = []
    prepare.run(tiny.plan(), progress=events.append)
    for split, total in (("tiny/train", 90), ("tiny/test", 31)):
        mine = [event for event in events if event.task == split]
        assert [event.done for event in mine] == sorted(event.done for event in mine)
        assert mine[0].done == 0 and mine[-1].done == mine[-1].total == total
        assert [event.finished for event in mine] == [False] * (len(mine) - 1) + [True]


def test_nonsense_is_refused(tiny: Any) -> None:
    with pytest.raises(UsageError, match="workers or a scheduler"):
        prepare.run(tiny.plan(), workers=1, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(UsageError, match="at least 1"):
        prepare.run(tiny.plan(), workers=0)
    with pytest.raises(PrepareError, match="cannot reach"):
        prepare.run(tiny.plan(), scheduler="nonsense://127.0.0.1:1")


def test_a_pack_that_cannot_fit_is_not_begun(tiny: Any) -> None:
    plan = tiny.plan()
    huge = replace(plan.packs[0].fields[0], shape=(2**30, 2**25, 1))
    big = replace(plan, packs=(replace(plan.packs[0], fields=(huge,)),))
    with pytest.raises(PrepareError, match="not enough disk space"):
        prepare.run(big)
    assert not (tiny.folder / "out").exists()
