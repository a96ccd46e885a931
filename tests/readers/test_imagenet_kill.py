"""The index of an archive of pictures, a tar of tars, under a real kill -9 at several moments."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dsets import store
from tests.readers import tiny_imagenet as tiny

INDEXING = """
    import os, pickle, signal, sys
    from dsets.readers import _index_file, imagenet

    source, moment, folder = sys.argv[1:]

    def die(*given, **more):
        os.kill(os.getpid(), signal.SIGKILL)

    if moment == "making":
        _index_file.write = die
    if moment == "writing":
        _index_file._let_go = lambda block: (
            die() if any(name.endswith(".part") for name in os.listdir(folder)) else None
        )
    if moment == "naming":
        os.replace = die
    print(len(imagenet.table(pickle.loads(open(source, "rb").read()))))
"""


@pytest.mark.parametrize("moment", ["making", "writing", "naming"])
def test_an_index_whose_maker_was_killed_is_made_whole_by_the_next(
    tmp_path: Path, moment: str
) -> None:
    source = tiny.official(tmp_path)
    (tmp_path / "source").write_bytes(pickle.dumps(source))
    index = store.index(source.manifest.name)

    def columns() -> dict[str, bytes]:
        return {one.name: one.read_bytes() for one in index.iterdir() if one.stat().st_size}

    def run(when: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", textwrap.dedent(INDEXING)]
        command += [str(tmp_path / "source"), when, str(index)]
        return subprocess.run(command, capture_output=True, text=True)

    assert run("").stdout.strip() == "5"
    whole = columns()
    assert [Path(name).suffix for name in whole] == [".columns"]
    for one in index.iterdir():
        one.unlink()
    for _ in range(2):
        done = run(moment)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not list(index.glob("*.columns"))
    done = run("")
    assert done.stdout.strip() == "5", done.stderr
    assert columns() == whole
