"""``dsets bundle`` here, ``dsets adopt BUNDLE`` there."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.cli import tiny

Run = Callable[[Sequence[str]], int]
FILES = tiny.files()


@pytest.fixture(params=["open", "login"])
def bundled(
    cli: Run, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    folder = tiny.catalogue(tmp_path / "catalogue", FILES, access=request.param)
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    (tmp_path / "mirror").mkdir()
    for name, data in FILES.items():
        (tmp_path / "mirror" / name).write_bytes(data)
    assert cli(["fetch", "tiny", "--mirror", str(tmp_path / "mirror"), "--accept-terms"]) == 0
    out = str(tmp_path / "out" / "tiny.tar")
    assert cli(["bundle", "tiny", "--out", out, "--dry-run"]) == 0
    assert not Path(out).exists()
    assert cli(["bundle", "tiny", "--out", out]) == 0
    monkeypatch.setenv("DSETS_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.delenv("DSETS_MANIFESTS")
    monkeypatch.setenv("DSETS_OFFLINE", "1")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return out


def test_from_one_store_to_the_other_and_on_to_packs(
    cli: Run, bundled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["adopt", bundled, "--dry-run"]) == 0
    assert "all right" in capsys.readouterr().out
    assert cli(["adopt", bundled, "--accept-terms"]) == 0
    said = capsys.readouterr()
    assert [Path(line).name for line in said.out.split()] == list(FILES)
    assert cli(["verify", "tiny"]) == 0
    assert cli(["prepare", "tiny/test"]) == 0


@pytest.mark.parametrize("bundled", ["login"], indirect=True)
def test_terms_that_want_a_word_want_it_there_too(
    cli: Run, bundled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["adopt", bundled]) == 1
    assert "--accept-terms" in capsys.readouterr().err


def test_as_json(cli: Run, bundled: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert cli(["adopt", bundled, "--dry-run", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["datasets"] == ["tiny"] and data["members"] == 6 and data["paths"] == []


def test_neither_paths_nor_a_bundle_is_wrong_usage(
    cli: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["adopt", "mnist"]) == 2
    assert "PATHS" in capsys.readouterr().err


def test_a_bundle_that_is_refused_leaves_nothing_not_even_a_word_about_terms(
    cli: Run, bundled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(bundled).read_bytes()
    Path(bundled).write_bytes(data[: data.rindex(FILES["test-labels.gz"]) + 5])
    assert cli(["adopt", bundled, "--accept-terms"]) == 1
    assert "cut short in member 'raw/tiny/test-labels.gz' at byte" in capsys.readouterr().err
    home = Path(bundled).parents[1] / "elsewhere"
    assert [path for path in home.rglob("*") if path.is_file()] == []
