from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dsets import bench
from dsets.field import Field
from dsets.pack import Pack
from dsets.stream import readahead
from dsets.stream.plan import Job
from dsets.stream.readahead import ReadAhead
from tests import packs

if TYPE_CHECKING:
    from tests.stream.conftest import MakePack

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked to read ahead")


def jobs(pack: Pack, rows: int, drawn: list[int] | None = None) -> Iterator[Job]:
    """Jobs for ever, of ``rows`` random samples each; ``drawn`` gets the number of each."""
    random = np.random.default_rng(0)
    for number in count():
        index = random.integers(0, len(pack), rows)
        if drawn is not None:
            drawn.append(number)
        yield Job(0, number * rows, index, np.ones(rows, np.bool_), None)


class Storage:
    """Stands in for the system: how much the process has read from storage."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.read = 0
        patch.setattr(readahead, "_reads", lambda: self.read)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Storage:
    return Storage(monkeypatch)


def asked_bytes(pack: Pack, index: np.ndarray) -> list[bytes]:
    """What lies at the places that would be asked for."""
    ahead = ReadAhead(pack)
    return [ctypes.string_at(address, size) for address, size in ahead._places(index)]


def test_what_is_asked_for_is_the_samples_of_the_largest_field(make_pack: MakePack) -> None:
    pack = make_pack(40)
    index = np.array([39, 0, 13, 14, 13])
    wanted = [pack[int(i)]["image"].transpose(2, 0, 1).tobytes() for i in index]
    assert asked_bytes(pack, index) == wanted


def test_so_it_is_where_sizes_vary(tmp_path: Path) -> None:
    texts = [b"x" * (7 * i % 31) for i in range(20)]
    columns = {"image": texts, "label": np.arange(20)}
    fields = (Field("image", "uint8", (None,)), Field("label", "int64", ()))
    keys = [f"{i:02d}" for i in range(20)]
    pack = packs.written(tmp_path / "pack", fields, keys, columns, shards=3)
    assert asked_bytes(pack, np.arange(19, -1, -1)) == texts[::-1]


def test_every_job_comes_once_and_in_order_and_the_first_at_once(make_pack: MakePack) -> None:
    pack = make_pack(40)
    drawn: list[int] = []
    plain = [job.index.tolist() for job in islice(jobs(pack, 8), 50)]
    through = ReadAhead(pack).jobs(islice(jobs(pack, 8, drawn), 50))
    first = next(through)
    assert len(drawn) == 2
    assert [job.index.tolist() for job in (first, *through)] == plain


def test_it_looks_a_bounded_way_ahead(make_pack: MakePack, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = make_pack(40)
    for most_bytes, batches in [(1 << 40, readahead._BATCHES), (3 * 8 * 192, 3)]:
        monkeypatch.setattr(readahead, "_BYTES", most_bytes)
        drawn: list[int] = []
        for taken, _ in enumerate(islice(ReadAhead(pack).jobs(jobs(pack, 8, drawn)), 60), 1):
            assert len(drawn) - taken <= batches
        assert len(drawn) - 60 == batches


@linux
def test_nothing_is_asked_for_while_nobody_waits_for_storage(
    make_pack: MakePack, storage: Storage
) -> None:
    pack = make_pack(40)
    ahead = ReadAhead(pack)
    through = ahead.jobs(jobs(pack, 8))
    list(islice(through, 2 * readahead._PATIENCE))
    before = ahead.asked
    assert 0 < before <= (readahead._PATIENCE + 2) * 8
    list(islice(through, 10))
    assert ahead.asked == before
    storage.read += 1  # the page cache has lost something
    list(islice(through, 10))
    assert ahead.asked >= before + 10 * 8


@linux
def test_a_cold_pack_is_asked_for_to_its_end_though_nobody_ever_waits(tmp_path: Path) -> None:
    rows, batches = 2, 3 * readahead._PATIENCE
    images = np.zeros((rows * batches, 256, 256, 1), np.uint8)  # more than opening them reads
    keys = [f"{i:04d}" for i in range(len(images))]
    fields = (Field("image", "uint8", images.shape[1:]),)
    packs.written(tmp_path / "pack", fields, keys, {"image": images}, shards=2)
    bench.drop(sorted((tmp_path / "pack").glob("*.h5")))
    pack = Pack.open(tmp_path / "pack")
    before, ahead = readahead._reads(), ReadAhead(pack)
    numbers = np.arange(len(images)).reshape(batches, rows)
    given = [Job(0, 0, index, np.ones(rows, np.bool_), None) for index in numbers]
    for _ in ahead.jobs(iter(given)):
        pass  # nothing is touched: no page fault can tell
    if readahead._reads() == before:
        pytest.skip("what is written here stays in memory")
    assert ahead.asked == len(images)


@linux
def test_the_system_guesses_nothing_beside_what_it_is_asked_for(make_pack: MakePack) -> None:
    pack = Pack.open(make_pack(40).path)
    place = pack.arrays("image")[0].ctypes.data
    assert " rr" not in flags_of(place)
    ReadAhead(pack)
    assert " rr" in flags_of(place)


def flags_of(address: int) -> str:
    """The kernel's flags of the memory map that the address lies in."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(found[1], 16) <= address < int(found[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return line
    raise AssertionError(f"no map holds {address:#x}")
