"""Records: trusted as far as they can be proved, and never further."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsets import prepare
from dsets.errors import PrepareError
from dsets.prepare import PackPlan, ledger
from dsets.prepare.task import make_shards


@pytest.fixture
def begun(tiny: Any) -> PackPlan:
    """A plan of which shards 0 and 1 are finished."""
    plan: PackPlan = tiny.plan().packs[0]
    plan.part.mkdir(parents=True)
    make_shards(plan, [0])
    make_shards(plan, [1])
    return plan


def test_a_record_comes_back_as_it_was_written(begun: PackPlan) -> None:
    record = ledger.finished(begun, 1)
    assert record is not None and [record] == make_shards(begun, [1])
    assert record.shard is not None and record.shard.samples == 10
    assert ledger.statistics(begun, record).images == 10
    assert ledger.finished(begun, 2) is None


def _written(path: Path) -> tuple[int, int, int]:
    """Another whenever the file is written to or replaced, but not when it is read."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _record(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def of(part: Path) -> None:
        path = part / "shard-00001.json"
        found = json.loads(path.read_text())
        change(found)
        path.write_text(json.dumps(found))

    return of


@pytest.mark.parametrize(
    "harm",
    [
        lambda part: _flip(part / "shard-00001.h5"),
        lambda part: (part / "shard-00001.h5").unlink(),
        lambda part: (part / "shard-00001.h5").write_bytes(b""),
        lambda part: (part / "shard-00001.h5").write_bytes((part / "shard-00000.h5").read_bytes()),
        lambda part: _flip(part / "shard-00001.npz"),
        lambda part: (part / "shard-00001.npz").unlink(),
        lambda part: (part / "shard-00001.json").write_bytes(b"{"),
        lambda part: (part / "shard-00001.json").write_bytes(b"\xff[]"),
        lambda part: (part / "shard-00001.json").write_text("[]"),
        lambda part: (part / "shard-00001.json").write_bytes(
            (part / "shard-00000.json").read_bytes()
        ),
        _record(lambda found: found.update(plan="0" * 64)),
        _record(lambda found: found.update(environment={"dsets": "0.0.1"})),
        _record(lambda found: found.pop("keys")),
        _record(lambda found: found["shard"].update(bytes="many")),
        _record(lambda found: found["shard"].update(datasets=None)),
        _record(lambda found: found.update(quarantine=[{"key": 1}])),
    ],
)
def test_a_harmed_shard_is_made_again_to_the_same_bytes(
    begun: PackPlan, harm: Callable[[Path], object]
) -> None:
    path = begun.part / "shard-00001.h5"
    good = path.read_bytes()
    other = _written(begun.part / "shard-00000.h5")
    harm(begun.part)
    assert ledger.finished(begun, 1) is None
    make_shards(begun, [1])
    assert path.read_bytes() == good and ledger.finished(begun, 1) is not None
    assert _written(begun.part / "shard-00000.h5") == other


def test_a_finished_shard_is_kept(begun: PackPlan) -> None:
    before = _written(begun.part / "shard-00001.h5")
    make_shards(begun, [1])
    assert _written(begun.part / "shard-00001.h5") == before


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_no_byte(tiny: Any, begun: PackPlan, threads: int) -> None:
    other = replace(begun, out=tiny.folder / "other")
    other.part.mkdir()
    for number in (0, 1):
        make_shards(other, [number], threads)
        for ending in ("h5", "json"):
            name = f"shard-{number:05}.{ending}"
            assert (other.part / name).read_bytes() == (begun.part / name).read_bytes()


def test_a_worker_that_does_not_see_the_folder_says_so(tiny: Any) -> None:
    with pytest.raises(PrepareError, match="shared file system"):
        make_shards(tiny.plan().packs[0], [0])


def test_the_work_of_another_plan_is_swept_and_told(tiny: Any, begun: PackPlan) -> None:
    (begun.part / "plan").write_text("another")
    (begun.part / ".shard-00003.h5.1-1.part").write_bytes(b"half")
    said: list[str] = []
    prepare.run(tiny.plan(), progress=lambda event: said.append(event.message))
    assert "removing the unfinished work of another plan" in said


def test_a_job_that_was_killed_before_the_rename_only_renames(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny.plan()
    prepare.run(plan)
    one = plan.packs[0]
    one.out.rename(one.part)
    (one.part / "plan").write_text(one.digest)
    assert prepare.state(one) == "started"
    before = {path: path.stat().st_mtime_ns for path in one.part.glob("*.h5")}
    prepare.run(plan)
    assert {
        one.part / path.name: path.stat().st_mtime_ns for path in one.out.glob("*.h5")
    } == before


def test_what_a_killed_force_left_is_swept(tiny: Any) -> None:
    plan = tiny.plan()
    prepare.run(plan)
    one = plan.packs[0]
    old = one.out.with_name("train.old.part")
    one.out.rename(old)  # killed between the two renames, before the work folder got the name
    prepare.run(plan)
    assert sorted(path.name for path in one.out.parent.iterdir()) == ["test", "train"]
