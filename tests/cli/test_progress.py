"""Progress: plain lines in a log, bars on a terminal, nothing when quiet."""

from __future__ import annotations

import io
import sys

import pytest

from dsets.cli import _progress
from dsets.cli._progress import bars
from dsets.progress import Event


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(messages: bool = False, **options: object) -> None:
    with bars(**options) as report:  # type: ignore[arg-type]
        report(Event("a", 0, 2_000_000))
        report(Event("b [x]", 1_000_000, 1_000_000, finished=True))
        report(Event("a", 1_000_000, 2_000_000, "cut [/]" if messages else ""))
        report(Event("a", 2_000_000, 2_000_000, finished=True))
        report(Event("a", 2_000_000, 2_000_000, finished=True))
        report(Event("c", 0, 500_000))


def test_a_log_gets_a_line_for_each_end_and_each_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    work(messages=True)
    # What was there from the start is no news.
    assert capsys.readouterr().err.splitlines() == ["a: cut [/]", "a: done, 2 MB"]


def test_a_log_gets_a_line_now_and_then_while_work_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "EVERY_S", 0.0)
    work(total_unit="samples")
    assert "2,000,000 samples of 3,000,000 samples (67%)" in capsys.readouterr().err


@pytest.mark.parametrize("total", [None, 0])
def test_a_total_of_none_or_nothing_is_fine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, total: int | None
) -> None:
    monkeypatch.setattr(_progress, "EVERY_S", 0.0)
    with bars() as report:
        report(Event("a", 0, total))
        report(Event("a", 0 if total == 0 else 5, total, finished=True))


def test_a_terminal_gets_bars_with_a_total(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    work(messages=True)
    shown = terminal.getvalue()
    assert "a: cut [/]" in shown and "b [x]" in shown and "total" in shown
    assert shown.rindex("3.0/3.5 MB") > shown.rindex("0/500.0 kB"), "the total stays below"


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    work(messages=True, quiet=True)
    assert capsys.readouterr() == ("", "")
