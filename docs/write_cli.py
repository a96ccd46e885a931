"""Writes docs/cli.md from what the commands say of themselves: `make docs`."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from dsets.cli import main
from dsets.cli.app import COMMANDS

PAGE = Path(__file__).parent / "cli.md"
HEAD = """# The command line

Written by `make docs` from the commands' own `--help`; a test fails when it is out of date.
"""


def text() -> str:
    """The page as the installed commands would have it now."""
    parts = [HEAD, _section("dsets", [])]
    parts += [_section(f"dsets {name}", [name]) for name in COMMANDS]
    return "\n".join(parts)


def _section(title: str, arguments: list[str]) -> str:
    out = io.StringIO()
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"  # or the page would depend on the writer's terminal
    try:
        with contextlib.redirect_stdout(out):
            main([*arguments, "--help"])
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return f"## {title}\n\n```text\n{out.getvalue().strip()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
