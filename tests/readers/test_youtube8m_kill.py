"""The index of a file of records under a real kill -9, at several moments."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dsets import store
from tests.archive.records import written
from tests.readers import tiny_youtube8m as tiny
from tests.readers.adopted_youtube8m import adopted, source_of

INDEXING = """
    import os, pickle, signal, sys
    from dsets.archive import tfrecord
    from dsets.readers import _index_file, youtube8m

    moment = sys.argv[2]
    tfrecord.BLOCK_BYTES = 1000

    def die(*given, **more):
        os.kill(os.getpid(), signal.SIGKILL)

    if moment == "reading":
        values, calls = tfrecord.Records._checked, []
        def checked(self, *given):
            calls.append(1)
            return die() if len(calls) == 5 else values(self, *given)
        tfrecord.Records._checked = checked
    if moment == "writing":
        folder = sys.argv[3]
        _index_file._let_go = lambda block: (
            die() if any(name.endswith(".part") for name in os.listdir(folder)) else None
        )
    if moment == "naming":
        os.replace = die
    print(len(youtube8m.table(pickle.loads(open(sys.argv[1], "rb").read()))))
"""


@pytest.mark.parametrize("moment", ["reading", "writing", "naming"])
def test_an_index_whose_maker_was_killed_is_made_whole_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    given = tiny.files(tmp_path / "given", names=["00"])
    written(given / "train00.tfrecord", [tiny.video(f"v{n:03}") for n in range(200)])
    found = adopted(tmp_path, monkeypatch, "video", given)
    source = source_of(found)
    (tmp_path / "source").write_bytes(pickle.dumps(source))
    index = store.index(found.name)

    def columns() -> dict[str, bytes]:
        return {one.name: one.read_bytes() for one in index.iterdir() if one.stat().st_size}

    def run(when: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", textwrap.dedent(INDEXING)]
        command += [str(tmp_path / "source"), when, str(index)]
        return subprocess.run(command, capture_output=True, text=True)

    def forget() -> None:
        for one in index.iterdir():
            one.unlink()

    forget()
    assert run("").stdout.strip() == "200"
    whole = columns()
    assert len(whole) == 1 and all(name.endswith(".columns") for name in whole)
    forget()
    for _ in range(2):
        done = run(moment)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not list(index.glob("*.columns"))
        left = [one for one in index.glob("*.part") if one.stat().st_size]
        assert len([*index.glob(".*.part"), *left]) >= (moment != "reading")
    assert run("").stdout.strip() == "200"
    assert columns() == whole
