"""What any command may say besides its result."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

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


@pytest.mark.parametrize(
    "command", ["train lenet FOLDER", "evaluate FOLDER FOLDER", "models lenet"]
)
def test_without_torch_a_command_that_needs_it_says_what_to_install(
    command: str, tmp_path: Path
) -> None:
    arguments = [str(tmp_path) if word == "FOLDER" else word for word in command.split()]
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from dsets.cli import main\n"
        f"sys.exit(main({arguments!r}))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert "pip install 'dsets[torch]'" in run.stderr
    assert run.stderr.count("\n") == 1
