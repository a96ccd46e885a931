"""Bad samples: what becomes of them, of their shards, and how many a job bears."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import prepare
from dsets.errors import PrepareError, UsageError
from dsets.pack import Pack
from dsets.progress import Event

Hashes = Callable[[Path], dict[str, str]]


def test_a_bad_sample_is_quarantined_and_the_shards_keep_their_plan(tiny: Any) -> None:
    recipe = tiny.recipe(
        'if sample.key in ("train/00013", "train/00089"): raise DataError("bad", where="x")'
    )
    events: list[Event] = []
    train, _ = prepare.run(tiny.plan(pipeline=recipe), progress=events.append)
    assert [bad.key for bad in train.quarantine] == ["train/00013", "train/00089"]
    assert train.quarantine[0].reason == "x: bad"
    assert len({bad.sha256 for bad in train.quarantine}) == 2
    assert [shard.samples for shard in train.shards] == [10, 9, 10, 10, 10, 10, 10, 10, 9]
    pack = Pack.open(tiny.folder / "out/train")
    assert len(pack) == 88
    kept = np.delete(tiny.images["train"], [13, 89], axis=0)
    assert np.array_equal(pack[:88]["image"], kept)
    assert pack.statistics is not None and pack.statistics.images == 88
    assert any("2 bad" in event.message for event in events)


def test_a_shard_of_bad_samples_only_is_left_out(tiny: Any) -> None:
    recipe = tiny.recipe('if "train/00009" < sample.key < "train/0002": raise DataError("bad")')
    train, _ = prepare.run(tiny.plan(pipeline=recipe))
    assert [shard.name for shard in train.shards] == [
        f"shard-{number:05}.h5" for number in range(9) if number != 1
    ]
    assert len(Pack.open(tiny.folder / "out/train")) == 80


def test_a_split_of_bad_samples_only_makes_no_pack(tiny: Any) -> None:
    with pytest.raises(PrepareError, match=r"every sample is bad.*sour"):
        prepare.run(tiny.plan(pipeline=tiny.recipe('raise DataError("sour")')))
    assert not (tiny.folder / "out/train").exists()


SOUR = 'if sample.key.endswith(("7", "8")): raise DataError(f"sour {sample.key}")'


def test_too_many_bad_samples_stop_the_job_which_goes_on_with_a_higher_limit(
    tiny: Any, hashes: Hashes
) -> None:
    plan = tiny.plan(pipeline=tiny.recipe(SOUR))
    with pytest.raises(
        PrepareError, match=r"too many bad.*at most 5 of 90, got 6.*train/00007 \(so"
    ):
        prepare.run(plan, max_bad=prepare.Limit(count=5))
    part = tiny.folder / "out" / "train.part"
    kept = {path.name: path.stat().st_mtime_ns for path in part.glob("*.h5")}
    assert len(kept) in (3, 4)  # the next one was being made
    train, test = prepare.run(plan, max_bad=prepare.Limit(percent=20))
    assert len(train.quarantine) == 18 and len(test.quarantine) == 6
    now = {path.name: path.stat().st_mtime_ns for path in (part.parent / "train").glob("*.h5")}
    assert kept.items() <= now.items()
    prepare.run(plan, max_bad=prepare.Limit(count=18))
    with pytest.raises(PrepareError, match=r"tiny/train: too many bad.*at most 17 of 90, got 18"):
        prepare.run(plan, max_bad=prepare.Limit(percent=19.9))


@pytest.mark.parametrize("bad", [{"count": -1}, {"percent": 101}, {"count": 1, "percent": 1}])
def test_a_limit_that_cannot_be_meant_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        prepare.Limit(**bad)


def test_each_shard_is_told_with_its_quarantine_and_kept_ones_as_kept(tiny: Any) -> None:
    plan = tiny.plan(pipeline=tiny.recipe(SOUR))
    events: list[Event] = []
    with pytest.raises(PrepareError):
        prepare.run(plan, max_bad=prepare.Limit(count=3), progress=events.append)
    prepare.run(plan, progress=events.append)
    told = [event for event in events if isinstance(event, prepare.ShardEvent)]
    train = [event for event in told if event.task == "tiny/train"]
    assert [event.number for event in train] == [0, 1, *range(9)]
    kept = sum(event.kept for event in train)
    assert kept in (2, 3)  # the third was being made when the second stopped the job
    assert [event.kept for event in train[2:]] == [True] * kept + [False] * (9 - kept)
    assert [event.bad for event in train] == [2, 4, *range(2, 20, 2)]
    assert [bad.key for bad in train[0].quarantine] == ["train/00007", "train/00008"]
    begun = [event for event in events if event.task == "tiny/train" and event not in told]
    done = 10 * kept
    assert begun[1].done == done
    assert [event.done for event in train[2:]] == [done] * kept + [*range(done + 10, 91, 10)]
