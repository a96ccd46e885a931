"""Archives that do not depend on when and where they are written."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from dsets.subset import writing

MEMBERS = [("f/b.jpg", b"bb"), ("f/a.jpg", b"a" * 1000)]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_same_members_give_the_same_bytes(tmp_path: Path, kind: str) -> None:
    first, second = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    writing.write(first, MEMBERS)
    writing.write(second, iter(MEMBERS))
    assert first.read_bytes() == second.read_bytes()
    if kind == "zip":
        with zipfile.ZipFile(first) as archive:
            found = [(name, archive.read(name)) for name in archive.namelist()]
    else:
        with tarfile.open(first) as tar:
            found = [(one.name, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]
    assert found == MEMBERS


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> object:
        yield MEMBERS[0]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        writing.write(tmp_path / "a.zip", failing())  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
