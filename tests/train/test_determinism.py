"""The environment of a run: recorded, told when it changes, and left as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from dsets import models, train
from dsets.errors import TrainError
from dsets.models import Model
from dsets.train import checkpoint, code, processor
from dsets.train.numerics import Numerics
from tests.train.runs import RECIPE, after, lines, run, weights

pytestmark = pytest.mark.usefixtures("tiny")


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


def test_a_resumed_run_keeps_its_number_of_threads_unless_told(packs: Path, tmp_path: Path) -> None:
    run(packs, tmp_path / "out", stop=after(1))
    torch.set_num_threads(2)
    assert train.plan("tiny", packs, tmp_path / "out", recipe=RECIPE).threads == 1


def test_a_number_of_threads_that_cannot_be_is_not_taken_from_a_checkpoint(
    packs: Path, tmp_path: Path
) -> None:
    run(packs, tmp_path / "out", stop=after(3))
    path = tmp_path / "out" / "checkpoint.pt"
    kept = checkpoint.load(path)
    for threads in ("many", 10**9, True):
        checkpoint.save(path, replace(kept, environments=[{"step": 0, "threads": threads}]))
        assert train.plan("tiny", packs, tmp_path / "out", recipe=RECIPE).threads == 1


def test_a_run_leaves_the_process_as_it_found_it(packs: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train.run(train.plan("tiny", packs, tmp_path / "out", recipe=RECIPE, threads=2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()
