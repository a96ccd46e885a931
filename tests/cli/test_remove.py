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


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("", 1, "dsets: error: nobody answered, so nothing was removed; give --yes"),
        ("\n", 1, "nothing was removed"),
        ("n\n", 1, "nothing was removed"),
        ("perhaps\n", 1, "nothing was removed"),
        ("Yes\n", 0, "Remove these and free"),
    ],
)
def test_without_a_yes_nothing_goes(
    cli: Run,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert cli(["remove", "tiny"]) == code
    assert said in capsys.readouterr().err
    assert raw.exists() == bool(code)


def test_what_readers_kept_goes_with_the_files_and_nothing_else(
    cli: Run, raw: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = home / "index" / "tiny"
    kept.mkdir(parents=True)
    for name in ("train-0123456789abcdef.columns", ".train-0.columns.12-13.part", "mine.txt"):
        (kept / name).write_text("x")
    assert cli(["remove", "tiny", "--yes"]) == 0
    assert str(kept / "train-0123456789abcdef.columns") in capsys.readouterr().out
    assert [path.name for path in kept.iterdir()] == ["mine.txt"]
    (kept / "mine.txt").rename(kept / "test-0.columns")
    assert cli(["remove", "tiny", "--yes"]) == 0
    assert not kept.exists()


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
