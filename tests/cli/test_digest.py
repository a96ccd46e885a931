from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from dsets.field import Field
from tests import packs

Cli = Callable[[Sequence[str]], int]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    fields = (Field("image", "uint8", (8, 8, 3)),)
    keys = [f"train/{n:03d}" for n in range(50)]
    pixels = np.random.default_rng(3).integers(0, 256, (50, 8, 8, 3), np.uint8)
    return str(packs.written(tmp_path, fields, keys, {"image": pixels}).path)


def test_one_line_for_people_and_every_epoch_for_programs(
    cli: Cli, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["digest", folder, "--seed", "5", "--epochs", "3", "--batch-size", "7"]) == 0
    line = capsys.readouterr().out.strip()
    assert cli(["digest", folder, "--seed", "5", "--epochs", "3", "--json", "--threads", "1"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["digest"], data["samples"], len(data["epochs"])) == (line, 50, 3)


def test_the_exit_code_tells_whether_it_is_the_expected_one(
    cli: Cli, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["digest", folder]) == 0
    line = capsys.readouterr().out.strip()
    assert cli(["digest", folder, "--expect", line.upper()]) == 0
    assert cli(["digest", folder, "--seed", "1", "--expect", line]) == 1
    assert f"expected {line}" in capsys.readouterr().err


def test_what_is_no_pack_is_one_line(cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli(["digest", str(tmp_path)]) == 1
    assert "dsets: error: " in capsys.readouterr().err
