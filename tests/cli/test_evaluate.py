"""``dsets evaluate``: figures for people and machines, pictures beside them."""

from __future__ import annotations

import json
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


def test_what_cannot_be_is_one_line(
    cli: Cli, trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    packs, out = trained
    assert cli(["evaluate", str(out), str(packs), "--crops", "10"]) == 1
    assert "ten crops need a size" in capsys.readouterr().err
    assert cli(["evaluate", str(packs), str(packs)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert cli(["evaluate", str(out), str(packs), "--crops", "5"]) == 2
