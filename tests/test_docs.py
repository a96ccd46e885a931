"""The pages say what is so: generated ones are current, links lead somewhere, examples run."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_command_reference_is_what_the_commands_say() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "write_cli.py"))
    assert (ROOT / "docs" / "cli.md").read_text() == page["text"](), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_of_the_tree(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_folder_of_somebodys_machine(page: Path) -> None:
    assert not re.findall(r"(?<![\w.])/(?:home|root|Users|work|tmp)/", page.read_text())
