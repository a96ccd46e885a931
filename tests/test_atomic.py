"""Files that appear under their names when they are right, with others sweeping beside them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dsets import atomic


def test_a_part_that_is_written_but_not_yet_renamed_is_not_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flush = tmp_path / "terms.json", atomic.flush

    def another_sweeps(of: Path) -> None:
        atomic.sweep(path)
        flush(of)

    monkeypatch.setattr(atomic, "flush", another_sweeps)
    with atomic.sweeping(path) as part:
        part.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_many_write_one_file_while_each_sweeps(tmp_path: Path) -> None:
    path = tmp_path / "terms.json"

    def work(number: int) -> None:
        for _ in range(50):
            with atomic.sweeping(path) as part:
                part.write_text(str(number) * 100)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert len(path.read_text()) == 100
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    left = tmp_path / ".terms.json.12345-12345.part"
    left.write_text("half")
    other = tmp_path / ".other.json.12345-12345.part"
    other.write_text("half")
    atomic.sweep(tmp_path / "terms.json")
    assert list(tmp_path.iterdir()) == [other]
