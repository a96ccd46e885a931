"""Gzip entered in the middle: at any bit, over members, in bounded memory; what is not damage."""

from __future__ import annotations

import gzip
import itertools
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dsets.archive import gzindex
from dsets.archive.gz import Inflater
from dsets.archive.gzindex import Inflated
from dsets.errors import DataError


def mixed(size: int) -> bytes:
    """Bytes that deflate makes blocks of every kind and length of."""
    chance = random.Random(1)
    parts: list[bytes] = []
    while len(parts) < size // 5:
        parts += [chance.choice([b"abcdefgh", b"xyz", chance.randbytes(7), b"%d" % len(parts)])]
    return b"".join(parts)


def points(path: Path, folder: Path) -> npt.NDArray[np.uint8]:
    with (folder / "points").open("w+b") as kept:
        assert gzindex.points(path, kept.fileno()) == os.fstat(kept.fileno()).st_size
    return np.memmap(folder / "points", np.uint8, "r")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, bytes]:
    """Three gzip members in a row and the padding of a tape, with many points."""
    monkeypatch.setattr(gzindex, "SPACING", 40_000)
    data = mixed(6_000_000)
    ends = [0, 1_700_000, 3_300_000, len(data)]
    path = tmp_path / "a.gz"
    made = [gzip.compress(data[a:b], 6) for a, b in itertools.pairwise(ends)]
    path.write_bytes(b"".join(made) + bytes(600))
    return path, data


def test_it_is_entered_at_every_point(archive: tuple[Path, bytes], tmp_path: Path) -> None:
    path, data = archive
    found = points(path, tmp_path)
    table = gzindex._Points(found)._table
    assert set(table["bits"].tolist()) == set(range(8)) and not table["windowed"].all()
    for place in table["offset"][:-1].tolist():
        with Inflated(path, found, "fetch again") as inflated:
            assert inflated.read(place, 40, "it") == data[place : place + 40]


def test_any_order_gives_the_bytes_that_are_there(
    archive: tuple[Path, bytes], tmp_path: Path
) -> None:
    path, data = archive
    chance = random.Random(2)
    with Inflated(path, points(path, tmp_path), "fetch again") as inflated:
        for _ in range(200):
            place, size = chance.randrange(len(data)), chance.randrange(90_000)
            size = min(size, len(data) - place)
            assert inflated.read(place, size, "it") == data[place : place + size]
        with pytest.raises(DataError, match="fetch again"):
            inflated.read(len(data) - 5, 10, "it")
        assert inflated.read(3, 5, "it") == data[3:8]


def test_reading_on_inflates_nothing_twice(
    archive: tuple[Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = archive
    monkeypatch.setattr(gzindex, "SPACING", 1 << 25)
    came, read = 0, Inflater.read

    def counted(self: Inflater, size: int) -> bytes:
        nonlocal came
        came += len(found := read(self, size))
        return found

    monkeypatch.setattr(Inflater, "read", counted)
    with Inflated(path, points(path, tmp_path), "") as inflated:
        for place in range(0, len(data) - 2000, 2000):
            inflated.read(place, 1000, "it")
    assert len(data) // 2 < came <= len(data)


def test_what_is_no_index_is_refused(archive: tuple[Path, bytes], tmp_path: Path) -> None:
    path, _ = archive
    found = np.array(points(path, tmp_path))
    for broken in (found[:20], found[:-1], found[::-1]):
        with pytest.raises(DataError, match="its index is damaged"):
            Inflated(path, broken, "fetch again")


_LIMITED = """
    import resource, sys
    from pathlib import Path
    import indexed_gzip
    from dsets.archive import gzindex
    from dsets.errors import DataError

    status = Path("/proc/self/status").read_text()
    here = int(status.partition("VmData:")[2].split()[0]) << 10
    limit = here + (int(sys.argv[2]) << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with open(sys.argv[1] + ".points", "w+b") as kept:
        try:
            print(gzindex.points(Path(sys.argv[1]), kept.fileno()))
        except DataError as error:
            print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account")
@pytest.mark.parametrize(("mebibytes", "enough"), [(160, True), (32, False)])
def test_memory_is_bounded_and_a_lack_of_it_is_no_damage(
    tmp_path: Path, mebibytes: int, enough: bool
) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(1 << 20)))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_LIMITED), str(path), str(mebibytes)],
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.strip()
    if enough:
        assert int(said) == (tmp_path / "a.gz.points").stat().st_size > 32 << 10
    else:
        assert "have more memory" in said and "damaged" not in said and "fetch" not in said
