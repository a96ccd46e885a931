"""A pack's folder and its work folder: what is kept, replaced, swept or refused there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsets import prepare
from dsets.errors import PrepareError
from dsets.locks import holding

Hashes = Callable[[Path], dict[str, str]]


def test_a_finished_pack_is_left_alone(tiny: Any) -> None:
    first = prepare.run(tiny.plan())
    before = {p: p.stat() for p in (tiny.folder / "out").rglob("*")}
    (tiny.folder / "home/raw/tiny/train-images").unlink()  # not even looked for
    assert prepare.run(tiny.plan()) == first
    assert {p: p.stat().st_mtime_ns for p in before} == {
        p: s.st_mtime_ns for p, s in before.items()
    }


def test_another_plans_pack_is_replaced_only_by_force(tiny: Any, hashes: Hashes) -> None:
    prepare.run(tiny.plan())
    before = hashes(tiny.folder / "out")
    with pytest.raises(PrepareError, match=r"another plan.*--force") as refused:
        prepare.run(tiny.plan(shards=3))
    assert (
        refused.value.got
        == "train with samples a shard 10, not 30; test with samples a shard 8, not 16"
    )
    assert hashes(tiny.folder / "out") == before
    train, _ = prepare.run(tiny.plan(shards=3), force=True)
    assert len(train.shards) == 3
    assert sorted(path.name for path in (tiny.folder / "out").iterdir()) == ["test", "train"]


def test_another_plans_pack_is_refused_with_what_differs(tiny: Any) -> None:
    prepare.run(tiny.plan())
    with pytest.raises(PrepareError, match="train with pipeline as_is, not mine; test with"):
        prepare.run(tiny.plan(pipeline=tiny.recipe("pass")))
    prepare.run(tiny.plan("own", pipeline=tiny.recipe("pass")))
    with pytest.raises(PrepareError, match="train with another source of the pipeline; test with"):
        prepare.run(tiny.plan("own", pipeline=tiny.recipe("1")))
    fields = tiny.manifest.fields
    other = replace(tiny.manifest, fields=(fields[0], replace(fields[1], classes=())))
    with pytest.raises(PrepareError, match="with other raw files, fields or reader options"):
        prepare.run(replace(tiny, manifest=other).plan())


@pytest.mark.parametrize("workers", [None, 2])
def test_what_a_killed_job_left_is_swept_though_its_packs_are_finished(
    tiny: Any, workers: int | None
) -> None:
    made = prepare.run(tiny.plan())
    out = tiny.folder / "out"
    (out / ".dask-470.part" / "scratch").mkdir(parents=True)
    (out / ".dask-471.part").mkdir()
    (out / "train.old.part").mkdir()
    (out / "train.old.part" / "shard-00000.h5").write_text("what --force put aside")
    with holding(out / ".dask-471.part", folder=True):
        assert prepare.run(tiny.plan(), workers=workers) == made
        assert sorted(path.name for path in out.iterdir()) == [".dask-471.part", "test", "train"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that root cannot write to")
def test_a_place_where_nothing_can_be_written_is_not_called_full(tiny: Any) -> None:
    plan = prepare.plan(tiny.manifest, out=Path("/proc/packs"))
    with pytest.raises(PrepareError, match=r"/proc: cannot be written.*choose another --out"):
        prepare.run(plan)


def test_what_is_no_pack_is_never_replaced(tiny: Any) -> None:
    mine = tiny.folder / "out" / "train" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    for force in (False, True):
        with pytest.raises(PrepareError, match="no readable pack"):
            prepare.run(tiny.plan(), force=force)
    assert mine.read_text() == "years of work"


def test_what_lies_in_the_work_folder_and_is_not_ours_is_never_removed(tiny: Any) -> None:
    mine = tiny.folder / "out" / "train.part" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    with pytest.raises(PrepareError, match=r"not a work folder.*thesis\.txt"):
        prepare.run(tiny.plan())
    assert mine.read_text() == "years of work"


@pytest.mark.parametrize("workers", [None, 1])
@pytest.mark.parametrize("place", ["out", "out/train.part"])
def test_a_file_where_a_folder_must_be_is_told(tiny: Any, workers: int | None, place: str) -> None:
    path = tiny.folder / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(PrepareError, match="cannot be written"):
        prepare.run(tiny.plan(), workers=workers)
    assert path.read_text() == "mine"
