"""``dsets remove``: what it lists is what goes, and nothing goes unasked."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsets.locks import holding
from tests.cli import tiny

Run = Callable[[Sequence[str]], int]
FILES = tiny.files()


@pytest.fixture
def raw(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store's raw folder of ``tiny``, filled; a pack lies beside."""
    monkeypatch.setenv("DSETS_MANIFESTS", str(tiny.catalogue(tmp_path / "catalogue", FILES)))
    folder = home / "raw" / "tiny"
    folder.mkdir(parents=True)
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    pack = home / "packs" / "tiny" / "as_is" / "train"
    pack.mkdir(parents=True)
    (pack / "index.json").write_text("{}")
    return folder


def test_dry_run_lists_and_removes_nothing(
    cli: Run, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["remove", "tiny", "--packs", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert all(str(raw / name) in out for name in FILES)
    assert "as_is" in out and "would free" in out
    assert sorted(path.name for path in raw.iterdir()) == sorted(FILES)


def test_raw_files_go_and_packs_stay(cli: Run, raw: Path, home: Path) -> None:
    assert cli(["remove", "tiny", "--yes"]) == 0
    assert not raw.exists()
    assert (home / "packs/tiny/as_is/train/index.json").exists()


def test_packs_go_when_asked(cli: Run, raw: Path, home: Path) -> None:
    assert cli(["remove", "tiny", "--yes", "--packs"]) == 0
    assert not raw.exists() and not (home / "packs" / "tiny").exists()


def test_without_a_yes_nothing_goes(cli: Run, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert cli(["remove", "tiny"]) != 0
    assert raw.exists()


def test_nothing_to_remove_is_no_error(
    cli: Run, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(["remove", "tiny", "--yes"])
    assert cli(["remove", "tiny"]) == 0
    assert "nothing to remove" in capsys.readouterr().err


@pytest.mark.parametrize("busy", ["raw/tiny/train-images.gz.part", "packs/tiny/as_is/test.part"])
def test_nothing_goes_while_something_works_on_it(
    cli: Run, raw: Path, home: Path, busy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with holding(home / busy, folder=busy.startswith("packs")):
        assert cli(["remove", "tiny", "--yes", "--packs"]) == 1
    assert "another process is working on this" in capsys.readouterr().err
    assert set(FILES) <= {path.name for path in raw.iterdir()}
