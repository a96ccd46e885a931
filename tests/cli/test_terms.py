"""Terms before the first byte, and the word that closed datasets want."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.cli import tiny

Run = Callable[[Sequence[str]], int]
FILES = tiny.files()


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    (tmp_path / "mirror").mkdir()
    for name, data in FILES.items():
        (tmp_path / "mirror" / name).write_bytes(data)
    return str(tmp_path / "mirror")


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.catalogue(tmp_path / "catalogue", FILES, access="login")
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))


def record(home: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((home / "terms" / "tiny.json").read_text())
    return found


def test_an_open_dataset_is_accepted_by_fetching(
    cli: Run, mirror: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSETS_MANIFESTS", str(tiny.catalogue(tmp_path / "catalogue", FILES)))
    assert cli(["fetch", "tiny", "--mirror", mirror]) == 0
    assert record(home)["how"] == "fetched"


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("answer", ["", "n\n", "why?\n"])
def test_a_closed_dataset_is_not_fetched_without_a_word(
    cli: Run,
    mirror: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert cli(["fetch", "tiny", "--mirror", mirror, "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "access: login" in said and "--accept-terms" in said
    assert not (home / "raw").exists() and not (home / "terms").exists()


@pytest.mark.usefixtures("closed")
def test_a_word_is_asked_for_once(
    cli: Run, mirror: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli(["fetch", "tiny/test", "--mirror", mirror]) == 0
    assert record(home)["how"] == "asked"
    assert cli(["fetch", "tiny/train", "--mirror", mirror]) == 0


@pytest.mark.usefixtures("closed")
def test_scripts_accept_by_an_option(
    cli: Run, mirror: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["fetch", "tiny", "--mirror", mirror, "--accept-terms"]) == 0
    assert record(home)["how"] == "--accept-terms"
    capsys.readouterr()
    assert cli(["fetch", "tiny", "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["terms"]
    assert said["accepted"] and said["sha256"] == record(home)["sha256"]


@pytest.mark.usefixtures("closed")
def test_terms_and_attribution_travel_into_packs(
    cli: Run, mirror: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(["fetch", "tiny", "--mirror", mirror, "--accept-terms"])
    assert cli(["prepare", "tiny/train"]) == 0
    (index,) = (home / "packs").rglob("index.json")
    terms = json.loads(index.read_text())["provenance"]["terms"]
    assert terms["sha256"] == record(home)["sha256"]
    assert terms["attribution"] == "Nobody: Nothing, 2026." and terms["access"] == "login"
    capsys.readouterr()
    assert cli(["show", str(index.parent)]) == 0
    assert "CC0-1.0" in capsys.readouterr().out
