"""``dsets subset``: what it says before, while and after, and its exit codes."""

from __future__ import annotations

import io
import json
import shlex
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from dsets import store
from dsets.locks import holding
from tests.server import Route, Server, serving
from tests.subset import tiny

Cli = Callable[[Sequence[str]], int]
CATS = ["subset", "tiny", "--classes", "Cat", "--max", "3", "--split", "validation"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    contents = tiny.files()
    with serving({f"/{name}": Route(data) for name, data in contents.items()}) as running:
        manifests = tiny.catalogue(tmp_path / "manifests", contents, running.url)
        monkeypatch.setenv("DSETS_MANIFESTS", str(manifests))
        monkeypatch.chdir(tmp_path)
        yield running


def test_from_a_name_to_a_dataset(
    cli: Cli, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli([*CATS, "--dry-run"]) == 0
    assert "the annotations come first" in capsys.readouterr().out and not server.requests
    assert cli(["fetch", "tiny", "--part", "annotations", "--quiet"]) == 0
    capsys.readouterr()
    assert cli([*CATS, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["splits"]["val"]
    assert planned["matching"] == 15 and len(planned["images"]) == 3
    assert len(server.requests) == 1
    assert cli(CATS) == 0
    out, err = capsys.readouterr()
    assert out == "tiny-cat-val-3\n"
    assert "CC0-1.0" in err and "val: 3 images, samples digest " in err
    assert "bytes came by 5 requests" in err
    assert cli(["show", "tiny-cat-val-3"]) == 0
    assert cli(["verify", "tiny-cat-val-3", "--deep"]) == 0
    assert "tiny-cat-val-3" in capsys.readouterr().out
    assert cli(["list"]) == 0
    assert "tiny-cat-val-3" in capsys.readouterr().out


def test_annotations_that_are_missing_are_fetched_first(
    cli: Cli, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli([*CATS, "--name", "cats", "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "cats" and told["complete"] and told["splits"]["val"]["samples"] == 3
    images = [one for one in server.requests if one.path == "/val.zip"]
    assert told["requests"] == len(images)


def test_images_that_cannot_be_had_are_listed_with_an_exit_code_of_their_own(
    cli: Cli, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = tiny.files()
    with zipfile.ZipFile(io.BytesIO(contents["val.zip"])) as archive:
        names = [name for name in archive.namelist() if name != "val/1000.jpg"]
        contents["val.zip"] = tiny.packed({name: archive.read(name) for name in names})
    server.routes["/val.zip"].data = contents["val.zip"]
    tiny.catalogue(tmp_path / "manifests", contents, server.url)
    all_cats = ["subset", "tiny/val", "--classes", "cat", "--name", "cats"]
    assert cli(all_cats) == 3
    err = capsys.readouterr().err
    assert "val: 1000: not in the archive" in err and "1 images could not be had" in err
    assert cli([*all_cats, "--json", "--quiet"]) == 3
    told = json.loads(capsys.readouterr().out)
    absent = {"key": "1000", "name": "val/1000.jpg", "reason": "not in the archive"}
    assert told["lacking"] == {"val": [absent]} and not told["complete"]
    assert told["splits"]["val"]["samples"] == 14


def test_the_lock_file(
    cli: Cli, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli([*CATS, "--name", "cats", "--lock", "--quiet"]) == 0
    lock = tmp_path / "dsets.lock"
    before = lock.read_bytes()
    assert set(json.loads(before)["datasets"]["cats"]["files"]) == {
        "val.zip",
        "annotations.zip",
        "subset.json",
    }
    assert cli(["fetch", "cats", "--lock", "--quiet"]) == 0 and lock.read_bytes() == before
    assert cli([*CATS, "--name", "cats", "--quiet"]) == 0
    assert cli(["remove", "cats", "--yes"]) == 0
    capsys.readouterr()
    assert cli([*CATS, "--seed", "7", "--name", "cats", "--quiet"]) == 1
    assert "publishes another" in capsys.readouterr().err


def of(home: Path, name: str) -> list[str]:
    """What the store has of a dataset, by path."""
    return sorted(str(p.relative_to(home)) for p in home.rglob("*") if name in p.name)


def test_removing_a_subset_leaves_nothing_of_it(
    cli: Cli, server: Server, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli([*CATS, "--name", "cats", "--quiet"]) == 0
    assert of(home, "cats") == ["manifests/cats.toml", "raw/cats"]
    assert cli(["remove", "cats", "--yes"]) == 0
    assert str(store.manifests() / "cats.toml") in capsys.readouterr().out
    assert of(home, "cats") == []
    assert cli(["fetch", "cats"]) == 1
    assert "unknown dataset" in capsys.readouterr().err


def test_what_an_interrupted_subset_left_is_removed(cli: Cli, server: Server, home: Path) -> None:
    spool = store.raw("cats") / ".subset.part"
    spool.mkdir(parents=True)
    (spool / "image").write_bytes(b"x")
    with holding(store.raw("cats"), folder=True):
        assert cli(["remove", "cats", "--yes"]) == 1
    assert (spool / "image").exists()
    assert cli(["remove", "cats", "--yes"]) == 0
    assert of(home, "cats") == []
    assert cli([*CATS, "--name", "cats", "--quiet"]) == 0
    spool.mkdir()
    assert cli(["remove", "cats", "--yes"]) == 0
    assert of(home, "cats") == []
    assert cli(["remove", "../cats", "--yes"]) == 1


def test_packs_that_stay_keep_the_manifest_and_fetch_names_the_command(
    cli: Cli, server: Server, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli([*CATS, "--name", "cats", "--quiet"]) == 0
    assert cli(["prepare", "cats", "--quiet"]) == 0
    assert cli(["remove", "cats", "--yes"]) == 0
    assert of(home, "cats") == ["manifests/cats.toml", "packs/cats"]
    capsys.readouterr()
    for offline in ([], ["--offline"]):
        assert cli(["fetch", "cats", *offline]) == 1
        err = capsys.readouterr().err
        command = "dsets subset tiny --classes 'cat' --max 3 --split val --name cats"
        assert f"run: {command}" in err and "annotations.zip" in err
    assert cli(shlex.split(command)[1:]) == 0
    assert cli(["remove", "cats", "--yes", "--packs"]) == 0
    assert of(home, "cats") == []


def test_an_unknown_class_names_the_near_ones(
    cli: Cli, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["subset", "tiny", "--classes", "dgo"]) == 1
    assert "no such class" in (err := capsys.readouterr().err) and "did you mean dog?" in err


@pytest.mark.parametrize("name", ["../../esc", "a/b", "Cats", "."])
def test_a_name_that_no_dataset_may_have_is_refused_before_anything_comes(
    cli: Cli, server: Server, home: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = sorted(home.parent.rglob("*"))
    server.requests.clear()
    assert cli([*CATS, f"--name={name}"]) == 2
    assert "bad name of a dataset" in capsys.readouterr().err
    assert sorted(home.parent.rglob("*")) == before and not server.requests


def test_an_empty_list_of_classes_does_not_mean_all(
    cli: Cli, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["subset", "tiny", "--classes", ",", "--max", "2"]) == 2
    assert "no class named" in capsys.readouterr().err
    assert cli(["subset", "tiny", "--max", "2", "--name", "../x"]) == 2
    assert cli(["subset", "tinyimages", "--max", "2"]) == 1
    assert "only described" in capsys.readouterr().err
