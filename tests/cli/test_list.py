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


def read() -> list[str]:
    """The datasets that a reader reads."""
    return [name for name in manifest.names() if manifest.find(name).catalogue is None]


def test_the_catalogue_is_listed_when_it_is_asked_for(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["list", "--catalogue"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "status" in lines[0]
    told = [line.split()[0] for line in lines[1:]]
    assert sorted(told + read()) == manifest.names() and told
    (tiny,) = (line for line in lines if line.startswith("tinyimages "))
    assert "withdrawn on 29 June 2020" in tiny and "79,302,017 pictures" in tiny
    assert cli(["list", "--all", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == manifest.names()
    assert {row["name"] for row in rows if row["catalogue"]} == set(told)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["fetch", "tinyimages"], "withdrawn on 29 June 2020 by its authors"),
        (["fetch", "tinyimages", "--dry-run"], "nothing of it is offered here (withdrawn)"),
        (["fetch", "visualsynset"], "no public download was found"),
        (["fetch", "cophir"], "with a signed agreement"),
        (["prepare", "sun397"], "only described: no reader reads it"),
        (["plan", "sbu"], "only described: no reader reads it"),
        (["show", "sbu", "--samples"], "no splits"),
    ],
)
def test_what_cannot_be_done_with_the_catalogue_is_said(
    cli: Cli, capsys: pytest.CaptureFixture[str], command: list[str], message: str
) -> None:
    assert cli(command) == 1
    assert message in capsys.readouterr().err


def test_a_described_dataset_is_shown_with_its_status(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["show", "tinyimages"]) == 0
    shown = capsys.readouterr().out
    assert "status    withdrawn on 29 June 2020" in shown and "size      79,302,017" in shown
    assert cli(["show", "tinyimages", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["catalogue"]["size"].startswith("79,302,017")


def test_every_dataset_is_a_line_with_samples_size_access_and_licence(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "title", "samples", "download", "access", "licence"]
    assert [line.split()[0] for line in lines[1:]] == read()
    (mnist,) = (line for line in lines if line.startswith("mnist "))
    for part in ("MNIST database", "70,000", "11.6 MB", "open", "CC BY-SA 3.0"):
        assert part in mnist


def test_json_has_every_text_in_full_and_exact_numbers(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["list", "--json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert sorted(found) == read()
    cifar10 = manifest.find("cifar10")
    assert found["cifar10"] == {
        "name": "cifar10",
        "title": cifar10.title,
        "samples": 60_000,
        "official_samples": 60_000,
        "download_bytes": 170_498_071,
        "known_bytes": 170_498_071,
        "access": "open",
        "catalogue": None,
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


def test_where_some_sizes_are_published_the_sum_is_marked_and_null(
    cli: Cli, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mnist.toml").write_text(mine().replace("bytes = 28881\n", ""))
    (folder / "cifar10.toml").write_text(re.sub(r"bytes = \d+\n", "", mine(name="cifar10")))
    assert cli(["list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert " > 11.6 MB  " in lines["mnist"]
    assert " ?  " in lines["cifar10"]
    assert cli(["show", "mnist"]) == 0
    assert "files, > 11.6 MB (1 of 4 of unpublished size), in" in capsys.readouterr().out
    assert cli(["list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mnist"]["download_bytes"] is None
    assert rows["mnist"]["known_bytes"] == 9_912_422 + 1_648_877 + 4_542


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


def test_what_is_withdrawn_and_offered_by_nobody_is_no_download(
    cli: Cli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli(["list", "--catalogue", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["imagenet-fall11"]["download_bytes"] == 0
    assert cli(["list", "--catalogue"]) == 0
    (line,) = (
        one for one in capsys.readouterr().out.splitlines() if one.startswith("imagenet-fall11")
    )
    assert " none " in line and "?" not in line
