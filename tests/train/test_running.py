"""Runs: what they leave in their folder, and what there is not theirs (promises 3 and 4)."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dsets import locks, train
from dsets.errors import BusyError, TrainError
from dsets.train import checkpoint
from dsets.train.images import Images
from tests.train.packs import make_pack
from tests.train.runs import RECIPE, after, assert_same, lines, run

pytestmark = pytest.mark.usefixtures("tiny")


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


def test_a_damaged_checkpoint_tells_how_to_go_on_or_begin_anew(packs: Path, tmp_path: Path) -> None:
    run(packs, tmp_path / "out", stop=after(1))
    (tmp_path / "out" / "checkpoint.pt").write_bytes(b"no more")
    with pytest.raises(TrainError, match=r"put a copy of it back; or delete it, or give another"):
        run(packs, tmp_path / "out")


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
