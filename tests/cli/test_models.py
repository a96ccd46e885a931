"""``dsets models``: the list and one model's table, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from dsets import models

Cli = Callable[[Sequence[str]], int]


def test_the_list_names_every_model_with_its_parameters(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["models", "--json"]) == 0
    listed = {row["name"]: row["parameters"] for row in json.loads(capsys.readouterr().out)}
    assert list(listed) == list(models.MODELS)
    assert listed["alexnet"] == 60_965_224


def test_a_model_is_told_layer_by_layer_beside_its_paper(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["models", "alexnet"]) == 0
    told = capsys.readouterr().out
    (first,) = [line for line in told.splitlines() if line.startswith("conv1")]
    assert "96x55x55" in first and "34,944" in first and "105,415,200" in first
    assert "253,440 neurons" in first
    assert "60,965,224" in told.splitlines()[-1]


def test_a_table_as_json_has_blocks_or_every_layer(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = []
    for more in ([], ["--deep"]):
        assert cli(["models", "resnet18", "--json", *more]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["parameters"] == sum(row["parameters"] for row in told["layers"])
        sizes.append(len(told["layers"]))
    assert sizes[0] < sizes[1]


def test_deep_is_about_one_model(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["models", "--deep"]) == 2
    assert "--deep is about the layers of one MODEL" in capsys.readouterr().err


def test_what_a_source_says_of_the_whole_net_is_there_for_machines(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["models", "cifar_11pct", "--json"]) == 0
    assert "11 % test error" in json.loads(capsys.readouterr().out)["paper"]


def test_an_unknown_model_is_wrong_usage_and_gets_the_nearest_name(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["models", "alexnt"]) == 2
    assert "did you mean alexnet" in capsys.readouterr().err
