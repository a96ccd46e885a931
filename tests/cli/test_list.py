"""``dsets list`` shows every dataset there is, and never hides one that is broken."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsets import manifest

Cli = Callable[[Sequence[str]], int]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own manifests."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    return folder


def mine(**changes: str) -> str:
    """The shipped manifest of MNIST with other values for some of its keys."""
    toml = Path(manifest.find("mnist").origin).read_text()
    for key, value in changes.items():
        toml = re.sub(f"^{key} = .*", f'{key} = "{value}"', toml, count=1, flags=re.MULTILINE)
    return toml


def test_every_dataset_is_a_line_with_samples_size_access_and_licence(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "title", "samples", "download", "access", "licence"]
    assert [line.split()[0] for line in lines[1:]] == manifest.names()
    (mnist,) = (line for line in lines if line.startswith("mnist "))
    for part in ("MNIST database", "70,000", "11.6 MB", "open", "CC BY-SA 3.0"):
        assert part in mnist


def test_json_has_every_text_in_full_and_exact_numbers(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["list", "--json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert sorted(found) == manifest.names()
    cifar10 = manifest.find("cifar10")
    assert found["cifar10"] == {
        "name": "cifar10",
        "title": cifar10.title,
        "samples": 60_000,
        "official_samples": 60_000,
        "download_bytes": 170_498_071,
        "access": "open",
        "adopted": [],
        "licence": cifar10.licence,
        "origin": cifar10.origin,
    }


def test_a_broken_manifest_is_reported_after_which_the_rest_are_listed(
    cli: Cli, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "spoilt.toml").write_text('schema = 1\ntitle = "\\u001b[2J"\nnmae = "broken"')
    (folder / "mine.toml").write_text(mine(name="mine", title="My digits"))
    for arguments in (["list"], ["list", "--json"]):
        assert cli(arguments) == 1
        told = capsys.readouterr()
        assert "My digits" in told.out
        assert "MNIST database" in told.out
        assert "spoilt" not in told.out
        (line,) = told.err.splitlines()
        assert line.startswith("dsets: error: ")
        assert "spoilt.toml: nmae: unknown key" in line


def test_a_users_manifest_takes_the_place_of_a_shipped_one(
    cli: Cli, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mnist.toml").write_text(mine(title="Mended MNIST"))
    assert cli(["list"]) == 0
    out = capsys.readouterr().out
    assert "Mended MNIST" in out
    assert "MNIST database" not in out


def test_an_unpublished_size_is_a_question_mark_and_null(
    cli: Cli, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mnist.toml").write_text(mine().replace("bytes = 28881\n", ""))
    assert cli(["list"]) == 0
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("mnist "))
    assert " ?  " in line
    assert cli(["list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mnist"]["download_bytes"] is None


def test_a_missing_folder_of_manifests_is_one_line_and_exit_code_1(
    cli: Cli, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSETS_MANIFESTS", "/nowhere/at/all")
    assert cli(["list"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("dsets: error: DSETS_MANIFESTS: no such folder")
    assert len(told.err.splitlines()) == 1


def test_samples_that_several_splits_show_count_once(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["list", "--json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    # train2017 and val2017; the other splits come on request: the test images, and repetitions
    assert found["coco2017"]["samples"] == 118_287 + 5_000
