from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from dsets.field import Field
from dsets.pack import Statistics
from tests import packs

Cli = Callable[[Sequence[str]], int]


def write(folder: Path, statistics: bool) -> str:
    fields = (Field("image", "uint8", (8, 8, 3)), Field("label", "int64", ()))
    keys = [f"train/{n:03d}" for n in range(300)]
    pixels = np.random.default_rng(3).integers(0, 256, (300, 8, 8, 3), np.uint8)
    columns = {"image": pixels, "label": np.arange(300) % 10}
    exact = Statistics.of(pixels) if statistics else None
    return str(packs.written(folder, fields, keys, columns, statistics=exact).path)


SHORT = ["--seconds", "0.02", "--batch-size", "50"]


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize(
    "options",
    [[], ["--crop", "6", "--flip"], ["--pad", "2", "--flip", "--float32"], ["--float16"]],
)
def test_programs_get_every_figure(
    cli: Cli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    statistics: bool,
) -> None:
    folder = write(tmp_path / "pack", statistics)
    assert cli(["bench", folder, *SHORT, *options, "--json", "--threads", "2"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["pack"] == folder
    assert data["rate"] > 0 and data["threads"] == 2
    assert sum(data["shares"].values()) == pytest.approx(1)


def test_a_window_order_is_measured_where_one_is_asked_for(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, neighbours = write(tmp_path / "pack", False), []
    for options in ([], ["--window", "1", "1"]):
        assert cli(["bench", folder, *SHORT, *options, "--json"]) == 0
        neighbours.append(json.loads(capsys.readouterr().out)["quality"]["neighbours"])
    assert abs(neighbours[0]) < 0.3 and neighbours[1] > 0.9


def test_people_get_a_table(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert cli(["bench", write(tmp_path / "[red]x", False), *SHORT]) == 0
    text = capsys.readouterr().out
    for word in ("samples/s", "waiting for storage", "at 80 % demand", "class balance", "[red]x"):
        assert word in text


def test_options_that_do_not_go_together_are_one_line(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "pack", False)
    assert cli(["bench", folder, "--crop", "6", "--pad", "2"]) == 1
    assert "after another crop" in capsys.readouterr().err
    assert cli(["bench", folder, "--crop", "9"]) == 1
    assert "larger than the image" in capsys.readouterr().err
    assert cli(["bench", folder, "--float32", "--float16"]) == 1
    assert "--float32 or --float16" in capsys.readouterr().err
    assert cli(["bench", str(tmp_path / "none")]) == 1
    assert cli(["bench", folder, "--seconds", "0"]) == 2
