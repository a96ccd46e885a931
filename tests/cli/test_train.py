"""``dsets train``: what people see, what machines read, what a signal does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from dsets.train import checkpoint, recipes, weights
from tests.train.packs import make_packs

Cli = Callable[[Sequence[str]], int]


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    return make_packs(tmp_path / "packs")


def command(packs: Path, out: Path, *more: str) -> list[str]:
    size = ["--epochs", "2", "--batch-size", "20", "--threads", "1"]
    return ["train", "lenet", str(packs), "--out", str(out), *size, *more]


def test_the_last_lines_tell_accuracy_and_where_everything_lies(
    cli: Cli, packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(command(packs, tmp_path / "out")) == 0
    told, progress = capsys.readouterr()
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert told.startswith(f"test accuracy {result['test']['top1']:.2%} (12 images")
    assert f"checkpoint {tmp_path / 'out' / 'checkpoint.pt'}" in told
    assert f"log {tmp_path / 'out' / 'log.jsonl'}" in told
    assert "begins of 4 steps, 1 threads" in progress
    assert "epoch 1/2: test loss" in progress
    assert "epoch 2/2: test loss" in progress


@pytest.mark.parametrize(
    ("steps", "after"), [(1, "1 step (0.5 epochs)"), (3, "3 steps (1.5 epochs)"), (2, "1 epoch")]
)
def test_a_recipe_that_ends_within_an_epoch_tells_its_steps(
    cli: Cli,
    packs: Path,
    tmp_path: Path,
    steps: int,
    after: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        f"title = 't'\nsource = 's'\nmodels = ['lenet']\nepochs = 9\nbatch_size = 20\n"
        f"steps = {steps}\n[update]\nrate = 0.01\n"
    )
    command = ["train", "lenet", str(packs), "--recipe", str(mine), "--out", str(tmp_path / "out")]
    assert cli([*command, "--threads", "1"]) == 0
    told, progress = capsys.readouterr()
    assert f" after {after}, " in told
    last = f"epoch {-(-steps // 2)}/{-(-steps // 2)}" + (f", step {steps}" if steps % 2 else "")
    assert f"{last}: test loss" in progress


def test_json_and_quiet_leave_nothing_but_the_result(
    cli: Cli, packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(command(packs, tmp_path / "out", "--json", "--quiet")) == 0
    told, progress = capsys.readouterr()
    result = json.loads(told)
    assert (result["model"], result["steps"], result["seed"]) == ("lenet", 4, 0)
    assert len(result["history"]) == 2
    assert progress == ""


def test_the_list_gives_each_recipe_with_its_models(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["train", "--list"]) == 0
    assert "alexnet 0.01" in capsys.readouterr().out
    assert cli(["train", "--list", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(listed) == recipes.names()
    assert listed["lenet-mnist"]["models"] == ["lenet"]
    assert listed["lenet-mnist"]["recipe"]["update"]["rate"] == 0.04


def test_the_list_for_a_model_has_its_recipes_alone(
    cli: Cli, packs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["train", "--list", "lenet", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed and all("lenet" in row["models"] for row in listed)
    assert cli(["train", "--list", "lenett"]) == 2
    assert cli(["train", "--list", "lenet", str(packs)]) == 2


def test_a_mistyped_model_gets_the_nearest_name(
    cli: Cli, packs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["train", "alexnt", str(packs)]) == 2
    assert "did you mean alexnet" in capsys.readouterr().err


def test_a_recipe_is_chosen_by_name_or_by_path(
    cli: Cli, packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def planned(recipe: str) -> dict[str, Any]:
        assert cli(["train", "lenet", str(packs), "--recipe", recipe, "--dry-run", "--json"]) == 0
        plan: dict[str, Any] = json.loads(capsys.readouterr().out)["recipe"]
        return plan

    assert planned("torch-tutorial")["update"]["rate"] == 0.02
    mine = tmp_path / "mine.toml"
    shipped = Path(recipes.__file__).parent / "torch-tutorial.toml"
    mine.write_text(shipped.read_text().replace("rate = 0.02", "rate = 0.03"))
    assert planned(str(mine))["update"]["rate"] == 0.03
    mine.write_text(shipped.read_text().replace("rate = 0.02", "rait = 0.03"))
    assert cli(["train", "lenet", str(packs), "--recipe", str(mine)]) == 1
    assert f"{mine}: update.rait: unknown key" in capsys.readouterr().err


def test_a_dry_run_tells_the_plan_and_does_nothing(
    cli: Cli, packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(command(packs, tmp_path / "out", "--dry-run")) == 0
    assert "4, of which 0 are taken" in capsys.readouterr().out
    assert cli(command(packs, tmp_path / "out", "--dry-run", "--json")) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["steps"], plan["taken"], plan["recipe"]["epochs"]) == (4, 0, 2)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"],
        ["train", "lenet"],
        ["train", "lenet", "no such folder"],
        ["train", "resnet", "."],
        ["train", "lenet", ".", "--epochs", "0"],
    ],
)
def test_wrong_usage_is_exit_code_2(cli: Cli, arguments: list[str]) -> None:
    assert cli(arguments) == 2


def test_a_folder_without_packs_is_one_line_and_exit_code_1(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["train", "lenet", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("dsets: error: ") and told.count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_saves_and_the_same_command_goes_on(
    cli: Cli,
    packs: Path,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = torch.optim.SGD.step
    taken = 0

    def interrupted(self: torch.optim.SGD) -> None:
        nonlocal taken
        taken += 1
        if taken == 3:
            os.kill(os.getpid(), number)
        step(self)

    monkeypatch.setattr(torch.optim.SGD, "step", interrupted)
    before = signal.getsignal(number)
    assert cli(command(packs, tmp_path / "out")) == code
    assert signal.getsignal(number) is before
    assert checkpoint.load(tmp_path / "out" / "checkpoint.pt").step == 3
    assert not (tmp_path / "out" / "result.json").exists()

    assert cli(command(packs, tmp_path / "out")) == 0
    assert cli(command(packs, tmp_path / "undisturbed")) == 0
    logs = [(tmp_path / out / "log.jsonl").read_bytes() for out in ("out", "undisturbed")]
    assert logs[0] == logs[1]


def test_a_signal_that_is_ignored_stays_so(
    cli: Cli, packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script's background job is started like that: Ctrl-C is for the one in front."""
    step = torch.optim.SGD.step

    def interrupted(self: torch.optim.SGD) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        step(self)

    monkeypatch.setattr(torch.optim.SGD, "step", interrupted)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert cli(command(packs, tmp_path / "out")) == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_torchrun_starts_two_processes_of_which_one_speaks(packs: Path, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node", "2", "-m", "dsets.cli"]
    options = ["--json", "--quiet", "--accumulate", "2", "--precision", "bfloat16"]
    run = subprocess.run(
        [*launcher, *command(packs, tmp_path / "out", *options)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)  # once
    assert (result["steps"], result["test"]["images"], result["precision"]) == (4, 12, "bfloat16")
    environment = result["environment"]
    assert (environment["ranks"], environment["accumulate"]) == (2, 2)
    kept = checkpoint.load(tmp_path / "out" / "checkpoint.pt")
    assert result["weights"] == weights.digest(kept.model)


def test_wrong_numerics_are_wrong_usage(cli: Cli, packs: Path, tmp_path: Path) -> None:
    assert cli(command(packs, tmp_path / "out", "--precision", "float8")) == 2
    assert cli(command(packs, tmp_path / "out", "--accumulate", "0")) == 2
