"""The shell completes dataset names, and splits where a command takes them."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from dsets import manifest
from dsets.cli._names import DATASET, DATASET_OR_SPLIT, DatasetName


def completed(kind: DatasetName, incomplete: str) -> list[str]:
    argument = click.Argument(["name"], type=kind)
    context = click.Context(click.Command("x", params=[argument]))
    return [item.value for item in kind.shell_complete(context, argument, incomplete)]


def test_names_that_go_on_from_what_was_typed() -> None:
    assert completed(DATASET, "") == manifest.names()
    assert completed(DATASET, "mni") == ["mnist"]
    assert completed(DATASET, "x") == []


def test_splits_only_where_they_are_asked_for() -> None:
    assert completed(DATASET_OR_SPLIT, "mnist/") == ["mnist/train", "mnist/test"]
    assert completed(DATASET_OR_SPLIT, "mnist/te") == ["mnist/test"]
    assert completed(DATASET_OR_SPLIT, "mni") == ["mnist"]
    assert completed(DATASET, "mnist/te") == []


def test_broken_manifests_never_disturb_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert completed(DATASET_OR_SPLIT, "nosuch/") == []
    (tmp_path / "broken.toml").write_text("schema =")
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path))
    assert completed(DATASET_OR_SPLIT, "broken/") == []
    assert completed(DATASET_OR_SPLIT, "bro") == ["broken"]
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path / "absent"))
    assert completed(DATASET, "") == []
