from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from dsets.pack import Pack
from tests.server import Server

Cli = Callable[[Sequence[str]], int]


def test_show_stats_and_verify_take_addresses(
    cli: Cli, address: str, local: Pack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["show", address, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["path"] == address
    assert cli(["show", address]) == 0
    assert address in capsys.readouterr().out
    assert cli(["stats", address, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert cli(["verify", address, "--deep", "--quiet"]) == 0
    assert "ok" in capsys.readouterr().out


def test_verify_names_the_shard_that_is_wrong(
    cli: Cli, address: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    route = server.routes["/train/s-2.h5"]
    route.data = bytes(len(route.data))
    assert cli(["verify", address, "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "WRONG" in said and "s-2.h5" in said and "sha256" in said
