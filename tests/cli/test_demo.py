"""The demo is the main job itself, so it must run from nothing, run again, and be stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Cli = Callable[[Sequence[str]], int]


def modified(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_from_an_empty_folder_to_an_accuracy_and_again_from_what_is_there(
    cli: Cli,
    tmp_path: Path,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DSETS_MIRROR", "http://127.0.0.1:9/nobody-listens")  # the demo's own counts
    out = tmp_path / "demo"
    arguments = ["demo", "--out", str(out), "--epochs", "1", "--json"]
    assert cli(arguments) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["test_top1"] > 0.8
    assert first["samples_per_second"] > 0
    assert (out / "packs/digits/as_is/train/index.json").is_file()
    assert (out / "packs/digits/as_is/test/index.json").is_file()
    assert not home.exists()
    assert os.environ["DSETS_HOME"] == str(home)
    assert os.environ["DSETS_MIRROR"] == "http://127.0.0.1:9/nobody-listens"

    kept = {name: modified(out / name) for name in ("published", "raw", "packs")}
    assert cli(arguments) == 0
    assert json.loads(capsys.readouterr().out)["test_top1"] == first["test_top1"]
    assert {name: modified(out / name) for name in ("published", "raw", "packs")} == kept


def test_without_torch_it_goes_through_every_other_command_and_says_how_to_train(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cli(["demo", "--out", str(tmp_path / "demo")]) == 0
    told = capsys.readouterr()
    commands = [line.split()[2] for line in told.err.splitlines() if line.startswith("$ dsets")]
    assert commands == ["fetch", "verify", "prepare", "stats"]
    assert "everything but training" in told.out
    assert "pip install 'dsets[torch]'" in told.err
    assert not (tmp_path / "demo" / "runs").exists()


def test_a_damaged_file_of_the_last_run_stops_it_with_the_commands_own_exit_code(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "demo"
    (out / "raw").mkdir(parents=True)
    (out / "raw" / "digits").write_text("a file where a folder should be")
    assert cli(["demo", "--out", str(out)]) == 1
    assert "dsets: error:" in capsys.readouterr().err


def test_an_interrupted_demo_ends_with_130_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; from dsets.cli import main; sys.exit(main())"]
    with subprocess.Popen(
        [*command, "demo", "--out", str(tmp_path / "demo")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if line.startswith("drawing"):
                run.send_signal(signal.SIGINT)
                break
        rest = run.stderr.read()
    assert run.returncode == 130
    assert "the same command goes on from here" in rest
    images = [path.name for path in (tmp_path / "demo").rglob("*images*.gz")]
    assert images == []  # nothing half-drawn under a final name
