"""``dsets evaluate``: figures for people and machines, pictures beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.train.packs import make_packs

Cli = Callable[[Sequence[str]], int]


@pytest.fixture
def trained(cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Path]:
    packs, out = make_packs(tmp_path / "packs"), tmp_path / "out"
    size = ["--epochs", "1", "--batch-size", "20", "--threads", "1"]
    assert cli(["train", "lenet", str(packs), "--out", str(out), *size, "--quiet"]) == 0
    capsys.readouterr()
    return packs, out


def test_errors_and_confusions_are_told_and_pictures_written(
    cli: Cli, trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    packs, out = trained
    assert cli(["evaluate", str(out), str(packs), "--threads", "1"]) == 0
    told, written = capsys.readouterr()
    top1 = json.loads((out / "result.json").read_text())["test"]["top1"]
    assert f"{1 - top1:.2%}" in told and "test, 12 images, one view each" in told
    names = ["confusion.png", "curves.png", "evaluation.json", "filters.png"]
    assert sorted(path.name for path in (out / "evaluation").iterdir()) == names
    assert all(name in written for name in names)


def test_json_has_the_whole_matrix_and_goes_where_it_is_told(
    cli: Cli, trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packs, out = trained
    seen = tmp_path / "seen"
    command = ["evaluate", str(out), str(packs), "--split", "train", "--out", str(seen), "--json"]
    assert cli([*command, "--threads", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["split"], told["images"], told["crops"]) == ("train", 40, 1)
    assert sum(map(sum, told["confusion"])) == 40
    assert told == json.loads((seen / "evaluation.json").read_text())


def test_figures_are_told_though_there_is_no_place_for_the_pictures(
    cli: Cli, trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    packs, out = trained
    (out / "evaluation").write_text("in the way")
    assert cli(["evaluate", str(out), str(packs), "--threads", "1"]) == 1
    told, failed = capsys.readouterr()
    assert "top-1 error" in told
    assert "cannot write the evaluation: " in failed and "give another --out" in failed


def test_what_cannot_be_is_one_line(
    cli: Cli, trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    packs, out = trained
    assert cli(["evaluate", str(out), str(packs), "--crops", "10"]) == 1
    assert "ten crops need a size" in capsys.readouterr().err
    assert cli(["evaluate", str(packs), str(packs)]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "give the --out of a training run" in told
    assert cli(["evaluate", str(out), str(packs), "--crops", "5"]) == 2
    assert cli(["evaluate", str(out), str(packs), "--device", "abacus"]) == 1
    assert "no such device" in capsys.readouterr().err


def test_several_processes_count_each_image_once_and_the_first_one_speaks(
    cli: Cli, trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packs, out = trained
    command = ["evaluate", str(out), str(packs), "--split", "train", "--threads", "1", "--json"]
    assert cli([*command, "--out", str(tmp_path / "alone")]) == 0
    alone = json.loads(capsys.readouterr().out)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
    together = ["-m", "dsets.cli", *command, "--out", str(tmp_path / "three")]
    ended = subprocess.run([*start, *together], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told == json.loads((tmp_path / "three" / "evaluation.json").read_text())
    assert told.pop("loss") == pytest.approx(alone.pop("loss"), rel=1e-6)
    assert told == alone and told["images"] == 40


def test_a_lower_precision_gives_nearly_the_same_figures(
    cli: Cli, trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    packs, out = trained
    told = []
    for precision in ("float32", "bfloat16"):
        command = ["evaluate", str(out), str(packs), "--precision", precision, "--json"]
        assert cli([*command, "--threads", "1"]) == 0
        told.append(json.loads(capsys.readouterr().out)["loss"])
    assert told[1] == pytest.approx(told[0], rel=0.02) and told[1] != told[0]
