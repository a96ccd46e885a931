"""The index of an Open Images split: kept, made in bounded memory, whole after any kill."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from dsets import store
from dsets.readers import _index_file, _openimages_index, openimages
from tests.readers.tiny_openimages import (
    BOX,
    BOXES,
    FROM_B,
    GOOD,
    TARS,
    A,
    B,
    C,
    masks,
    read,
    source,
    table,
)


def test_the_index_is_kept_and_made_anew_when_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = source(tmp_path, TARS | {"b.csv": BOXES}, {"boxes": "b.csv"})
    assert openimages.table(one)["boxes"].sum() == 3
    with monkeypatch.context() as patch:
        patch.setattr(_openimages_index, "_made", None)
        _openimages_index._OPEN.clear()
        assert read(one)[A].values["labels"].tolist() == [1, 0]  # from the store
    (tmp_path / "b.csv").write_bytes(table(BOX, GOOD))
    assert openimages.table(one)["boxes"].sum() == 1


@pytest.mark.parametrize("name", ["image.archive", "mask.archive", "mask.label"])
@pytest.mark.parametrize("value", [-1, 2])
def test_an_index_that_leads_nowhere_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    write = _index_file.write

    def spoilt(path: Path, key: list[Any], facts: dict[str, Any], columns: dict[str, Any]) -> None:
        bad = columns[name].copy()
        bad[-1] = value
        write(path, key, facts, columns | {name: bad})

    monkeypatch.setattr(_index_file, "write", spoilt)
    files = TARS | {"m.zip": masks()}
    one = source(tmp_path, files, {"masks": ["m.zip"]}, "labels", "mask", "mask_ends")
    for _ in range(2):
        found = read(one)
        assert list(found) == [B, A, C] and found[A].values["labels"].tolist() == [1]
        _openimages_index._OPEN.clear()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_a_table_larger_than_the_memory_that_a_process_may_have(tmp_path: Path) -> None:
    """The rows as Python objects, or the file in memory, would not fit."""
    one = source(tmp_path, TARS | {"b.csv": b""}, {"boxes": "b.csv"})
    block = (f"{A},xclick,/m/01yrx,1,0.25,0.75,0.25,0.75\n" * 20_000).encode()
    with (tmp_path / "b.csv").open("wb") as file:
        file.write(f"{BOX}\n".encode())
        for _ in range(100):
            file.write(block)

    (tmp_path / "source").write_bytes(pickle.dumps(one))
    code = """
        import pickle, resource, sys
        import numpy, pandas
        from dsets.readers import openimages
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + (150 << 20),) * 2)
        one = pickle.loads(open(sys.argv[1], "rb").read())
        print(openimages.table(one)["boxes"].sum())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "source")],
        capture_output=True,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.stdout.strip() == "2000000", done.stderr


INDEXING = """
    import os, pickle, signal, sys
    from dsets import atomic
    from dsets.readers import _grouped, _openimages_csv, openimages

    _openimages_csv.PIECE = 1000

    def die(*given):
        os.kill(os.getpid(), signal.SIGKILL)

    class Dying(_grouped.Grouped):
        adds = 0

        def add(self, records):
            super().add(records)
            Dying.adds += 1
            if Dying.adds == 3:
                die()

    if sys.argv[2] == "joining":
        from dsets.readers import _openimages_annotations
        _openimages_annotations.Grouped = Dying
    if sys.argv[2] == "naming":
        os.replace = die
    print(openimages.table(pickle.loads(open(sys.argv[1], "rb").read()))["boxes"].sum())
"""


@pytest.mark.parametrize("moment", ["joining", "naming"])
def test_an_index_whose_maker_was_killed_is_made_whole_by_the_next(
    tmp_path: Path, moment: str
) -> None:
    raws = tmp_path / "raw"
    raws.mkdir()
    one = source(raws, TARS | {"b.csv": table(BOX, *[GOOD] * 6_000)}, FROM_B)
    (tmp_path / "source").write_bytes(pickle.dumps(one))
    index = store.index(one.manifest.name)

    def run(when: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", textwrap.dedent(INDEXING), str(tmp_path / "source"), when]
        return subprocess.run(command, capture_output=True, text=True)

    for _ in range(3):
        assert run(moment).returncode == -signal.SIGKILL
        left = sorted(path.name for path in index.iterdir() if path.stat().st_size)
        assert len(left) == (moment == "naming") and not list(index.glob("*.columns"))
    done = run("")
    assert done.stdout.strip() == "6000", done.stderr
    assert [path.suffix for path in index.iterdir() if path.stat().st_size] == [".columns"]
    assert openimages.table(one)["boxes"].sum() == 6_000
