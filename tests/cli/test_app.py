"""What any command may say besides its result."""

from __future__ import annotations

import warnings

import click
import pytest

from dsets.cli import app, list_


def test_a_warning_is_one_line_without_the_code_that_gave_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def command() -> None:
        warnings.warn("something to know", stacklevel=1)

    monkeypatch.setattr(list_, "command", command)
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert app.main(["list"]) == 0
    assert capsys.readouterr().err == "dsets: warning: something to know\n"
    assert warnings.showwarning is before


def test_a_lack_of_memory_is_named_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def command() -> None:
        bytearray(1 << 62)  # more than any machine has

    monkeypatch.setattr(list_, "command", command)
    assert app.main(["list"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("dsets: error: not enough memory") and said.count("\n") == 1
    assert "more" in said
