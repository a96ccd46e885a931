"""A file that only has an official one's name is told what it waits for, and what helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsets import adopt, manifest
from tests.adopt.tinynet import write


@pytest.mark.parametrize(("name", "boxed"), [("openimages-v4", True), ("openimages-v1", False)])
def test_an_archive_of_a_split_that_needs_more_of_them_waits_for_the_others(
    tmp_path: Path, name: str, boxed: bool
) -> None:
    split = "train" if boxed else "validation"
    files = manifest.find(name).split(split).files
    first, *others = files
    given = write(tmp_path / "given", {first.removesuffix(".gz"): b"?"})
    note, remedy = adopt.plan(manifest.find(name), [given]).notes
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    assert f"not used for images of {split} without {', '.join(others[:3])}{more}; it is" in note
    assert remedy.startswith(f"{split} needs all of its {len(files)} files")
    assert f"'dsets fetch {name} --split {split}'" in remedy
    assert (f"'dsets subset {name} --split {split} --max 100'" in remedy) == boxed


def test_beside_the_others_it_waits_for_nothing(tmp_path: Path) -> None:
    official = manifest.find("openimages-v4")
    files = official.split("validation").files
    given = write(tmp_path / "given", dict.fromkeys(files, b"?"))
    plan = adopt.plan(official, [given])
    assert [chosen.split.name for chosen in plan.splits] == ["validation"] and not plan.notes
