"""The shell completes dataset names, and splits where a command takes them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dsets import manifest, models, pipeline
from dsets.cli._names import DATASET, DATASET_OR_SPLIT, MODEL, PIPELINE


def completed(kind: click.ParamType, incomplete: str) -> list[str]:
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


def test_models_and_pipelines_by_name() -> None:
    assert completed(MODEL, "") == list(models.MODELS)
    assert completed(MODEL, "l") == ["lenet", "lenet5"]
    assert completed(PIPELINE, "") == pipeline.names()
    assert completed(PIPELINE, "as") == ["as_is"]


def test_a_pipeline_may_be_a_file() -> None:
    context = click.Context(click.Command("x"))
    (found,) = PIPELINE.shell_complete(context, click.Option(["--pipeline"]), "./mi")
    assert (found.type, found.value) == ("file", "./mi")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("train cifar_q", "plain,cifar_quick"), ("prepare mnist --pipeline as", "plain,as_is")],
)
def test_the_shell_completes_a_whole_command(typed: str, expected: str) -> None:
    script = "import sys, dsets.cli; sys.argv = ['dsets']; dsets.cli.app.group(prog_name='dsets')"
    words = {"COMP_WORDS": f"dsets {typed}", "COMP_CWORD": str(len(typed.split()))}
    environment = os.environ | words | {"_DSETS_COMPLETE": "bash_complete"}
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == expected
    assert "| torch" not in ended.stderr


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
