"""Removing: exactly what fetch brought, never under a running fetch."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsets import fetch
from dsets.errors import BusyError
from dsets.locks import holding
from tests.fetch.conftest import DATA, file_of, manifest_of


@pytest.fixture
def full(folder: Path) -> Path:
    folder.mkdir()
    for name in ("a.bin", "b.bin.part", ".b.bin.part.json", "..a.bin.receipt.json.1.part"):
        (folder / name).write_bytes(DATA[:100])
    fetch.files(fetch.plan(manifest_of(file_of(DATA[:100])), folder))
    return folder


def test_files_parts_and_receipts_go_and_the_bytes_are_counted(full: Path) -> None:
    manifest = manifest_of(file_of(DATA[:100]), file_of(DATA, "b.bin"))
    removal = fetch.removable(manifest, full)
    assert {path.name for path in removal.paths} == {path.name for path in full.iterdir()}
    assert removal.bytes == sum(path.stat().st_size for path in full.iterdir())
    assert fetch.remove(manifest, full) == removal.bytes
    assert not full.exists()
    assert fetch.remove(manifest, full) == 0


def test_the_files_of_others_stay(full: Path) -> None:
    (full / "notes.txt").write_text("mine")
    (full / "a.bin.bak").write_text("mine")
    fetch.remove(manifest_of(file_of(DATA), file_of(DATA, "b.bin")), full)
    assert {path.name for path in full.iterdir()} == {"notes.txt", "a.bin.bak"}


def test_nothing_goes_while_a_fetch_holds_a_part(full: Path) -> None:
    before = {path.name for path in full.iterdir()}
    manifest = manifest_of(file_of(DATA), file_of(DATA, "b.bin"))
    with holding(full / "b.bin.part"), pytest.raises(BusyError):
        fetch.remove(manifest, full)
    assert {path.name for path in full.iterdir()} == before
