"""Runs: the promises at the top of ``dsets.train.running``, and what they refuse."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dsets import locks, models, train
from dsets.errors import BusyError, TrainError
from dsets.models import Model
from dsets.train import checkpoint, code, processor, work
from dsets.train.images import Images
from dsets.train.numerics import Numerics
from dsets.train.recipe import Recipe
from dsets.train.schedule import Schedule, When, drops
from dsets.train.update import Update
from tests.train.packs import make_pack

ROOT = Path(__file__).parents[2]

#: Two epochs of five steps, everything random switched on, each step in the log.
RECIPE = Recipe(
    epochs=2,
    batch_size=8,
    update=Update(rate=0.05, weight_decay=1e-3),
    images=Images(crop="pad", padding=2, flip=True),
    log_steps=1,
)


def dropping(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """A net that draws from torch's generator in every step, and counts batches in a buffer."""
    height, width, channels = shape
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(height * width * channels, 8),
        nn.BatchNorm1d(8),
        nn.Dropout(0.5),
        nn.Linear(8, classes),
    )


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "tiny", Model(dropping, (16, 16, 1), 10, "for tests"))


def run(packs: Path, out: Path, recipe: Recipe = RECIPE, **options: Any) -> train.Result:
    return train.run(train.plan("tiny", packs, out, recipe=recipe, threads=1), **options)


def after(steps: int) -> Callable[[], bool]:
    """Asks to stop when it has been asked that many times, which is once a step."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= steps

    return stop


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(out / "checkpoint.pt").model


def assert_same(out: Path, undisturbed: Path) -> None:
    assert (out / "log.jsonl").read_bytes() == (undisturbed / "log.jsonl").read_bytes()
    ours, theirs = weights(out), weights(undisturbed)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


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


def test_encoded_images_are_trained_on_when_the_recipe_cuts_them_to_one_size(
    tmp_path: Path,
) -> None:
    made = {"shape": (18, 20, 3), "encoded": True}
    make_pack(tmp_path / "packs" / "train", samples=24, **made)  # type: ignore[arg-type]
    training = tmp_path / "packs" / "train"
    make_pack(tmp_path / "packs" / "test", samples=6, training=training, **made)  # type: ignore[arg-type]
    boxes = replace(RECIPE, images=Images(crop="resized", size=12, flip=True))
    result = run(tmp_path / "packs", tmp_path / "out", boxes)
    assert (result.finished, result.history[-1]["images"]) == (True, 6)
    with pytest.raises(TrainError, match="cannot train on these images"):
        run(tmp_path / "packs", tmp_path / "other")


def test_a_recipe_may_end_after_so_many_steps_within_an_epoch(packs: Path, tmp_path: Path) -> None:
    short = replace(RECIPE, steps=7)
    result = run(packs, tmp_path / "out", short)
    assert (result.step, result.steps, result.finished) == (7, 7, True)
    assert [(entry["epoch"], entry["step"]) for entry in result.history] == [(1, 5), (2, 7)]
    assert run(packs, tmp_path / "out", short).finished  # once more: nothing is left to do
    run(packs, tmp_path / "stopped", short, stop=after(6))
    run(packs, tmp_path / "stopped", short)
    assert_same(tmp_path / "stopped", tmp_path / "out")


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


def test_pieces_may_change_on_the_way_and_are_recorded_but_precision_may_not(
    packs: Path, tmp_path: Path
) -> None:
    def plan(numerics: Numerics) -> train.Plan:
        return train.plan(
            "tiny", packs, tmp_path / "out", recipe=RECIPE, threads=1, numerics=numerics
        )

    train.run(plan(Numerics("bfloat16")), stop=after(3))
    changed = plan(Numerics("bfloat16", accumulate=2))
    assert changed.changes == ("accumulate 1 → 2",)
    train.run(changed)
    recorded = [line for line in lines(tmp_path / "out") if line["kind"] == "environment"]
    assert [(line["step"], line["accumulate"]) for line in recorded] == [(0, 1), (3, 2)]
    with pytest.raises(TrainError, match="precision differs; expected float32, got bfloat16"):
        plan(Numerics())


def test_the_layout_is_recorded_and_changes_no_more_than_rounding_does(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out = []

    def look(images: torch.Tensor) -> None:
        laid_out.append(images.is_contiguous(memory_format=torch.channels_last))

    def convolving(shape: tuple[int, int, int], classes: int) -> nn.Module:
        layers = (nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, stride=4), nn.Flatten())
        net = nn.Sequential(*layers, nn.Linear(8 * 9, classes))
        net[1].register_forward_pre_hook(lambda layer, taken: look(taken[0]))
        net[1].register_forward_pre_hook(lambda layer, taken: look(layer.weight))
        return net

    monkeypatch.setitem(models.MODELS, "tiny", Model(convolving, (16, 16, 1), 10, "for tests"))
    for out, last in (("last", True), ("first", False)):
        laid_out.clear()
        numerics = Numerics(channels_last=last)
        where = tmp_path / out
        plan = train.plan("tiny", packs, where, recipe=RECIPE, threads=1, numerics=numerics)
        train.run(plan)
        assert laid_out and set(laid_out) == {last}
        told = json.loads((where / "result.json").read_text())["environment"]
        kept = checkpoint.load(where / "checkpoint.pt")
        assert told["channels_last"] is kept.environment["channels_last"] is last
    for name, values in weights(tmp_path / "last").items():
        torch.testing.assert_close(values, weights(tmp_path / "first")[name], rtol=1e-3, atol=1e-4)


def test_changed_code_is_told(packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(packs, tmp_path / "out", stop=after(3))
    monkeypatch.setattr(code, "digest", lambda: "f" * 64)
    (change,) = train.plan("tiny", packs, tmp_path / "out", recipe=RECIPE, threads=1).changes
    assert change.startswith("code ") and change.endswith(" → ffffffffffff…")


def test_hooks_see_every_step_before_it_is_saved_and_end_the_run_by_raising(
    packs: Path, tmp_path: Path
) -> None:
    seen = []

    def look(step: train.Step) -> None:
        saved = checkpoint.load(tmp_path / "out" / "checkpoint.pt")
        assert step.rate == RECIPE.rate_at(When(step.number - 1, 10, 5))
        assert not torch.equal(saved.model["1.weight"], step.model.state_dict()["1.weight"])
        seen.append(step.number)

    def end(step: train.Step) -> None:
        if step.number == 7:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        run(packs, tmp_path / "out", hooks=[look, end])
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert checkpoint.load(tmp_path / "out" / "checkpoint.pt").step == 5
    run(packs, tmp_path / "out", hooks=[look])
    assert seen[7:] == [6, 7, 8, 9, 10]
    run(packs, tmp_path / "whole")
    assert_same(tmp_path / "out", tmp_path / "whole")


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


def test_rule_1_a_changed_environment_is_recorded_and_told(packs: Path, tmp_path: Path) -> None:
    run(packs, tmp_path / "out", stop=after(3))
    plan = train.plan("tiny", packs, tmp_path / "out", recipe=RECIPE, threads=2)
    assert plan.changes == ("threads 1 → 2",)
    train.run(plan)
    recorded = [line for line in lines(tmp_path / "out") if line["kind"] == "environment"]
    assert [(line["step"], line["threads"]) for line in recorded] == [(0, 1), (3, 2)]


@pytest.mark.parametrize("before", ["Other CPU; model 1", None])
def test_rule_1_another_processor_is_recorded_and_told(
    packs: Path, tmp_path: Path, before: str | None
) -> None:
    """A checkpoint made on another machine, or by a version that did not tell the processor."""
    run(packs, tmp_path / "out", stop=after(3))
    path = tmp_path / "out" / "checkpoint.pt"
    kept = checkpoint.load(path)
    told = {**kept.environments[0], "processor": before}
    made = {name: fact for name, fact in told.items() if fact is not None}
    checkpoint.save(path, replace(kept, environments=[made]))
    plan = train.plan("tiny", packs, tmp_path / "out", recipe=RECIPE, threads=1)
    assert plan.changes == (f"processor {before or 'not recorded'} → {processor.name()}",)
    train.run(plan)
    recorded = [line for line in lines(tmp_path / "out") if line["kind"] == "environment"]
    assert [(line["step"], line["processor"]) for line in recorded][1:] == [(3, processor.name())]


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


def test_a_resumed_run_keeps_its_number_of_threads_unless_told(packs: Path, tmp_path: Path) -> None:
    run(packs, tmp_path / "out", stop=after(1))
    torch.set_num_threads(2)
    assert train.plan("tiny", packs, tmp_path / "out", recipe=RECIPE).threads == 1


def test_rule_2_there_is_a_checkpoint_before_the_first_step_and_after_each_epoch(
    packs: Path, tmp_path: Path
) -> None:
    seen = []

    def look(moment: train.Moment) -> None:
        seen.append((moment.step, checkpoint.load(tmp_path / "out" / "checkpoint.pt").step))

    run(packs, tmp_path / "out", replace(RECIPE, log_steps=5), progress=look)
    # What is told: the beginning, the last step of an epoch and its evaluation, twice.
    assert seen == [(0, 0), (5, 0), (5, 0), (10, 5), (10, 5)]
    assert checkpoint.load(tmp_path / "out" / "checkpoint.pt").step == 10


def test_rule_2_there_is_a_checkpoint_between_steps_when_it_is_time(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "CHECKPOINT_S", 0.0)
    seen = []

    def look() -> bool:
        seen.append(checkpoint.load(tmp_path / "out" / "checkpoint.pt").step)
        return False

    run(packs, tmp_path / "out", stop=look)
    assert seen == [0, 1, 2, 3, 5, 5, 6, 7, 8, 10]


@pytest.mark.parametrize("name", ["log.jsonl", "speed.jsonl", "result.json"])
def test_rule_3_a_file_that_no_checkpoint_accounts_for_is_left_alone(
    packs: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(TrainError, match=f"{name} is in the way"):
        run(packs, tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert not (tmp_path / "checkpoint.pt").exists()


def test_rule_4_a_second_process_is_refused(packs: Path, tmp_path: Path) -> None:
    with locks.holding(tmp_path / "out", folder=True), pytest.raises(BusyError, match="out"):
        run(packs, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_a_finished_run_given_again_changes_nothing_but_tells_its_result(
    packs: Path, tmp_path: Path
) -> None:
    first = run(packs, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    elsewhere = train.plan("tiny", packs, tmp_path / "out", recipe=RECIPE, threads=2)
    assert train.run(elsewhere) == first
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    (tmp_path / "out" / "result.json").unlink()  # as when killed just before it was written
    run(packs, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("told", ["{", "[]", '{"weights": "another"}'])
def test_a_finished_run_given_again_never_writes_over_a_result_of_other_weights(
    packs: Path, tmp_path: Path, told: str
) -> None:
    run(packs, tmp_path / "out")
    result = tmp_path / "out" / "result.json"
    good = result.read_text()
    result.write_text(told)
    with pytest.raises(TrainError, match=r"result.json: .*move it, and give the same command"):
        run(packs, tmp_path / "out")
    assert result.read_text() == told
    result.unlink()
    run(packs, tmp_path / "out")
    assert result.read_text() == good


def test_a_finished_run_whose_checkpoint_has_other_weights_is_refused(
    packs: Path, tmp_path: Path
) -> None:
    run(packs, tmp_path / "out")
    path = tmp_path / "out" / "checkpoint.pt"
    kept = checkpoint.load(path)
    before = (tmp_path / "out" / "result.json").read_bytes()
    kept.model["1.weight"][0] += 1
    checkpoint.save(path, kept)  # by whoever knows the format, with a digest that holds
    with pytest.raises(TrainError, match="the result is of other weights than the checkpoint"):
        run(packs, tmp_path / "out")
    assert (tmp_path / "out" / "result.json").read_bytes() == before


def test_a_finished_checkpoint_without_its_evaluation_is_refused(
    packs: Path, tmp_path: Path
) -> None:
    run(packs, tmp_path / "out")
    path = tmp_path / "out" / "checkpoint.pt"
    kept = checkpoint.load(path)
    for history in ([], kept.history[:1]):
        checkpoint.save(path, replace(kept, history=history))
        with pytest.raises(TrainError, match="it was not evaluated at its end"):
            run(packs, tmp_path / "out")


def test_a_number_of_threads_that_cannot_be_is_not_taken_from_a_checkpoint(
    packs: Path, tmp_path: Path
) -> None:
    run(packs, tmp_path / "out", stop=after(3))
    path = tmp_path / "out" / "checkpoint.pt"
    kept = checkpoint.load(path)
    for threads in ("many", 10**9, True):
        checkpoint.save(path, replace(kept, environments=[{"step": 0, "threads": threads}]))
        assert train.plan("tiny", packs, tmp_path / "out", recipe=RECIPE).threads == 1


def test_the_log_is_the_whole_loss_curve_and_the_result_its_end(
    packs: Path, tmp_path: Path
) -> None:
    result = run(packs, tmp_path / "out", replace(RECIPE, log_steps=2))
    log = lines(tmp_path / "out")
    told = [(line["kind"], line["step"], line.get("images")) for line in log]
    assert told[0][0] == "environment"
    assert told[1:7] == [
        ("train", 2, 16),
        ("train", 4, 16),
        ("train", 5, 8),
        ("evaluation", 5, 12),
        ("train", 6, 8),
        ("train", 8, 16),
    ]
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    assert written["test"] == result.history[-1]
    assert written["test"]["top1"] == log[-1]["top1"]
    assert written["parameters"] == 256 * 8 + 8 + 16 + 8 * 3 + 3
    speeds = (tmp_path / "out" / "speed.jsonl").read_text().splitlines()
    assert len(speeds) == sum(line["kind"] == "train" for line in log)


def test_a_run_learns_what_can_be_learned(packs: Path, tmp_path: Path) -> None:
    steady = replace(RECIPE, epochs=15, images=Images(flip=True))
    assert run(packs, tmp_path / "out", steady).history[-1]["top1"] > 0.9


def test_the_seed_decides_the_curve(packs: Path, tmp_path: Path) -> None:
    curves = []
    for number, seed in enumerate((3, 3, 4)):
        out = tmp_path / str(number)
        train.run(train.plan("tiny", packs, out, recipe=RECIPE, seed=seed, threads=1))
        curves.append((out / "log.jsonl").read_bytes())
    assert curves[0] == curves[1] != curves[2]


def test_a_run_leaves_the_process_as_it_found_it(packs: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train.run(train.plan("tiny", packs, tmp_path / "out", recipe=RECIPE, threads=2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_loss_that_is_no_number_ends_the_run_with_advice(packs: Path, tmp_path: Path) -> None:
    wild = replace(
        RECIPE,
        update=Update(rate=1e3, momentum=0.99),
        schedule=Schedule(kind="constant"),
        epochs=50,
    )
    with pytest.raises(TrainError, match=r"no longer a number at step \d+.*lower the rate"):
        run(packs, tmp_path / "out", wild)
    lines(tmp_path / "out")  # what was logged before is still JSON


def test_a_loss_that_is_no_number_is_never_saved(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "CHECKPOINT_S", 0.0)  # save after every step, log after none
    wild = replace(RECIPE, update=Update(rate=1e3, momentum=0.99), epochs=50, log_steps=10**6)
    with pytest.raises(TrainError, match="no longer a number"):
        run(packs, tmp_path / "out", wild)
    kept = checkpoint.load(tmp_path / "out" / "checkpoint.pt")
    assert kept.step > 0 and torch.tensor(kept.ranks[0]["meter"]).isfinite().all()


def test_a_checkpoint_whose_log_is_gone_is_refused(packs: Path, tmp_path: Path) -> None:
    run(packs, tmp_path / "out", stop=after(3))
    (tmp_path / "out" / "log.jsonl").unlink()
    with pytest.raises(TrainError, match="shorter than its checkpoint"):
        run(packs, tmp_path / "out")


def changed(optimizer: dict[str, Any], **values: Any) -> dict[str, Any]:
    (group,) = optimizer["param_groups"]
    return {**optimizer, "param_groups": [{**group, **values}]}


def test_a_checkpoint_of_other_tensors_is_refused(packs: Path, tmp_path: Path) -> None:
    run(packs, tmp_path / "out", stop=after(3))
    path = tmp_path / "out" / "checkpoint.pt"
    kept = checkpoint.load(path)
    for change in (
        {"model": {}},
        {"model": {**kept.model, "1.weight": kept.model["1.weight"].double()}},
        {"model": {**kept.model, "another": torch.zeros(1)}},
        {"optimizer": changed(kept.optimizer, momentum=5.0)},
        {"optimizer": changed(kept.optimizer, weight_decay=torch.zeros(3))},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"ranks": [{**kept.ranks[0], "meter": [1.0]}]},
        {"ranks": [{"meter": kept.ranks[0]["meter"]}]},
        {"scaler": {"scale": 1.0}},
        {"stream": {**kept.stream, "seed": 9}},
        {"ranks": [{**kept.ranks[0], "generators": {"cpu": torch.zeros(3)}}]},
        {"step": 4},
    ):
        checkpoint.save(path, replace(kept, **change))
        with pytest.raises(TrainError, match=r"does not fit|has a bad ranks"):
            run(packs, tmp_path / "out")
