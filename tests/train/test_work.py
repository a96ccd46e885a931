"""The work of a run: when it saves (promise 2), what hooks get, what it does not go on from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsets import train
from dsets.errors import TrainError
from dsets.train import checkpoint, work
from dsets.train.schedule import Schedule, When
from dsets.train.update import Update
from tests.train.runs import RECIPE, after, assert_same, lines, run

pytestmark = pytest.mark.usefixtures("tiny")


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


def test_a_loss_that_is_no_number_ends_the_run_with_advice(packs: Path, tmp_path: Path) -> None:
    wild = replace(
        RECIPE,
        update=Update(rate=1e3, momentum=0.99),
        schedule=Schedule(kind="constant"),
        epochs=50,
    )
    with pytest.raises(TrainError, match=r"no longer a number at step \d+.*with a rate below 1000"):
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
