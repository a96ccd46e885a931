"""Promise 1: runs that are stopped, killed, or out of room end as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dsets import train
from dsets.errors import TrainError
from dsets.train import checkpoint
from dsets.train.images import Images
from dsets.train.numerics import Numerics
from dsets.train.schedule import Schedule, drops
from dsets.train.update import Update
from tests.train.runs import RECIPE, ROOT, after, assert_same, lines, run

pytestmark = pytest.mark.usefixtures("tiny")


def test_rule_1_a_run_stopped_after_any_step_ends_as_if_it_had_never_stopped(
    packs: Path, tmp_path: Path
) -> None:
    run(packs, tmp_path / "whole")
    for steps in range(1, 11):
        out = tmp_path / f"stopped after {steps}"
        stopped = run(packs, out, stop=after(steps))
        assert (stopped.step, stopped.finished) == (steps, steps == 10)
        assert run(packs, out).finished
        assert_same(out, tmp_path / "whole")


def test_rule_1_a_run_stopped_after_every_step_ends_as_if_it_had_never_stopped(
    packs: Path, tmp_path: Path
) -> None:
    sparse = replace(RECIPE, log_steps=3)  # so that a line is the mean over several of the runs
    run(packs, tmp_path / "whole", sparse)
    for step in range(1, 11):
        assert run(packs, tmp_path / "out", sparse, stop=lambda: True).step == step
    assert_same(tmp_path / "out", tmp_path / "whole")


def test_rule_1_a_plateau_is_seen_across_interruptions(packs: Path, tmp_path: Path) -> None:
    """AlexNet's recipe in small: its rule, and rates that hang on all evaluations before."""
    alexnet = replace(
        RECIPE,
        epochs=6,
        update=Update(rate=0.02, rule="alexnet", weight_decay=5e-4),
        schedule=Schedule(kind="plateau", patience=1, times=2),
        images=Images(crop="random", size=12, flip=True, subtract="mean-image"),
    )
    run(packs, tmp_path / "whole", alexnet)
    while not run(packs, tmp_path / "out", alexnet, stop=after(4)).finished:
        pass
    assert_same(tmp_path / "out", tmp_path / "whole")
    rates = {line["rate"] for line in lines(tmp_path / "out") if line["kind"] == "train"}
    errors = [1 - line["top1"] for line in lines(tmp_path / "out") if line["kind"] == "evaluation"]
    assert len(rates) == 1 + drops(errors[:-1], 1, 2) > 1


@pytest.mark.parametrize(
    "numerics",
    [Numerics(accumulate=3), Numerics("bfloat16"), Numerics("float16", accumulate=2)],
    ids=str,
)
def test_rule_1_holds_for_pieces_and_for_half_precision(
    packs: Path, tmp_path: Path, numerics: Numerics
) -> None:
    for out, stops in (("whole", (11,)), ("out", (1, 3, 4, 11))):
        for steps in stops:
            plan = train.plan(
                "tiny", packs, tmp_path / out, recipe=RECIPE, threads=1, numerics=numerics
            )
            train.run(plan, stop=after(steps))
    assert_same(tmp_path / "out", tmp_path / "whole")
    scalers = [checkpoint.load(tmp_path / out / "checkpoint.pt").scaler for out in ("out", "whole")]
    assert scalers[0] == scalers[1]
    assert bool(scalers[0]) == (numerics.precision == "float16")


def test_rule_1_killed_at_random_moments_a_run_ends_as_if_it_had_never_been(
    packs: Path, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, epochs=6)
    run(packs, tmp_path / "whole", recipe)
    chance = random.Random(7)
    # The tree comes last, so that the installed dsets is the one that runs, wheel or not.
    start = f"import runpy, sys; sys.path.append({str(ROOT)!r}); "
    start += "runpy.run_module('tests.train.nest', run_name='__main__')"
    command = [sys.executable, "-P", "-c", start, str(packs), str(tmp_path / "out")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as nest:
        assert nest.stdin is not None and nest.stdout is not None
        for lines_seen in (0, 1, 2, *(chance.randrange(20) for _ in range(5))):
            nest.stdin.write("\n")
            nest.stdin.flush()
            child = int(nest.stdout.readline())
            for _ in range(lines_seen):
                nest.stdout.readline()
            os.kill(child, signal.SIGKILL)
            while nest.stdout.readline() != "ended\n":
                pass
        nest.stdin.close()
    assert 0 < checkpoint.load(tmp_path / "out" / "checkpoint.pt").step < 30
    run(packs, tmp_path / "out", recipe)
    assert_same(tmp_path / "out", tmp_path / "whole")
    names = {"checkpoint.pt", "curves.png", "log.jsonl", "result.json", "speed.jsonl"}
    assert set(os.listdir(tmp_path / "out")) == names


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_ends_the_run_with_its_last_checkpoint_and_it_goes_on_when_there_is_room(
    packs: Path, tmp_path: Path
) -> None:
    run(packs, tmp_path / "whole")
    out = tmp_path / "out"
    run(packs, out, stop=after(3))
    before = (out / "checkpoint.pt").read_bytes()
    (out / "speed.jsonl").rename(tmp_path / "kept")
    (out / "speed.jsonl").symlink_to("/dev/full")
    with pytest.raises(
        TrainError, match=r"speed.jsonl: cannot write the log: No space.*free"
    ) as told:
        run(packs, out)
    assert "make room, and give the same command again" in str(told.value)
    assert (out / "checkpoint.pt").read_bytes() == before
    (tmp_path / "kept").replace(out / "speed.jsonl")
    assert run(packs, out).finished
    assert_same(out, tmp_path / "whole")


def test_a_log_changed_in_place_is_noticed_before_a_line_is_added_to_it(
    packs: Path, tmp_path: Path
) -> None:
    run(packs, tmp_path, stop=after(3))
    log = tmp_path / "log.jsonl"
    before = log.read_bytes()
    log.write_bytes(before.replace(b'"step": 2', b'"step": 9'))
    with pytest.raises(TrainError, match=r"log.jsonl: the log is not the one.*put it back"):
        run(packs, tmp_path)
    assert log.read_bytes() == before.replace(b'"step": 2', b'"step": 9')
    log.write_bytes(before)
    assert run(packs, tmp_path).finished
