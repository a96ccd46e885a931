"""The log: lines that can be cut back to a checkpoint's length."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dsets.errors import TrainError
from dsets.train.log import Log


def test_a_log_is_cut_to_the_length_it_is_opened_with(tmp_path: Path) -> None:
    with Log(tmp_path / "log", 0) as log:
        log.write({"step": 1})
        length, sha256 = log.commit()
        log.write({"step": 2})
    with Log(tmp_path / "log", length, sha256) as log:
        assert log.length == length
        log.write({"step": 3})
    assert (tmp_path / "log").read_text() == '{"step": 1}\n{"step": 3}\n'


def test_without_a_length_lines_are_added_to_what_is_there(tmp_path: Path) -> None:
    for step in (1, 2):
        with Log(tmp_path / "log") as log:
            log.write({"step": step})
    assert (tmp_path / "log").read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_log_that_lost_lines_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("{}\n")
    with pytest.raises(TrainError, match="shorter than its checkpoint says; expected 4 bytes"):
        Log(tmp_path / "log", 4)
    assert (tmp_path / "log").read_text() == "{}\n"


@pytest.mark.parametrize(
    "changed", ['{"step": 7}\n{"step": 2}\n', '{"step": 1}{"step": 2}\n\n'], ids=["value", "end"]
)
def test_a_log_of_other_lines_is_refused_and_left_as_it_is(tmp_path: Path, changed: str) -> None:
    with Log(tmp_path / "log", 0) as log:
        log.write({"step": 1})
        length, sha256 = log.commit()
        log.write({"step": 2})
    (tmp_path / "log").write_text(changed)
    with pytest.raises(
        TrainError, match=rf"not the one that its checkpoint saw.*{sha256} of its first 12.*back"
    ):
        Log(tmp_path / "log", length, sha256)
    assert (tmp_path / "log").read_text() == changed


def test_what_is_not_a_number_never_gets_into_the_log(tmp_path: Path) -> None:
    with Log(tmp_path / "log", 0) as log, pytest.raises(ValueError, match="JSON"):
        log.write({"loss": math.nan})
    assert (tmp_path / "log").read_bytes() == b""


def test_without_a_length_a_line_that_was_cut_off_goes(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"step": 1}\n{"st')
    with Log(tmp_path / "log") as log:
        log.write({"step": 2})
    assert (tmp_path / "log").read_text() == '{"step": 1}\n{"step": 2}\n'


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_told_with_file_and_remedy_and_nothing_comes_later(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/dev/full")
    with (
        Log(tmp_path / "log") as log,
        pytest.raises(TrainError, match=r"log: cannot write the log: No space.*make room") as told,
    ):
        log.write({"step": 1})
    assert told.value.where == str(tmp_path / "log")
    assert isinstance(told.value.__cause__, OSError)
