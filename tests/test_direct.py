"""Writing past the page cache: the same bytes in the file, whatever the file system says."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets import direct

MIB = 1 << 20

needs_direct = pytest.mark.usefixtures("direct_here")


@pytest.fixture
def direct_here(tmp_path: Path) -> None:
    """Not every system has direct writes, nor every file system that tests run on."""
    with (tmp_path / "probe").open("wb") as file:
        again = direct._again(file.fileno())
    if again is None:
        pytest.skip("no direct writes here")
    os.close(again)


def content(length: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8).tobytes()


def write(path: Path, data: bytes, cuts: Sequence[int] = (), start: int = 0) -> None:
    """The data in pieces behind ``start`` bytes of another kind, flushed after every second."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(descriptor, b"." * start, 0)
        with direct.Run(descriptor, start) as run:
            bounds = [0, *sorted(cuts), len(data)]
            for number, (begin, end) in enumerate(pairwise(bounds)):
                run.write(memoryview(data)[begin:end])
                if number % 2:
                    run.flush()
                    assert os.fstat(descriptor).st_size == start + end
            run.flush()
    finally:
        os.close(descriptor)


@pytest.fixture
def directly(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each write past the page cache wrote."""
    return _watched(monkeypatch, lambda real, *asked: real(*asked))


def _watched(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., int]) -> list[int]:
    """Answer direct writes so; the list of what they wrote."""
    real, written = os.pwrite, []

    def pwrite(descriptor: int, data: memoryview, place: int) -> int:
        import fcntl

        if not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            return real(descriptor, data, place)
        written.append(0)
        written[-1] = answer(real, descriptor, data, place)
        return written[-1]

    monkeypatch.setattr(os, "pwrite", pwrite)
    return written


@needs_direct
@pytest.mark.parametrize("start", [0, 4096, 5000])
@pytest.mark.parametrize("length", [9 * MIB, 9 * MIB + 1, 9 * MIB - 1])
def test_all_whole_pages_go_past_the_page_cache(tmp_path, directly, start, length) -> None:
    data = content(length)
    write(tmp_path / "file", data, start=start)
    assert (tmp_path / "file").read_bytes() == b"." * start + data
    assert sum(directly) == (start + length) // 4096 * 4096 - start // 4096 * 4096


@needs_direct
def test_a_page_that_came_in_pieces_is_written_whole_past_the_page_cache(
    tmp_path, monkeypatch
) -> None:
    """Its rest alone would stay in the page cache, a hole after a power cut."""
    places = []

    def answer(real: Callable[..., int], descriptor: int, data: memoryview, place: int) -> int:
        places.append((place, len(data)))
        return real(descriptor, data, place)

    _watched(monkeypatch, answer)
    write(tmp_path / "file", content(30_000), cuts=[1, 5000, 6000, 21_000], start=7000)
    # flushed when there were 12,000 bytes, and 28,000, and all 37,000
    assert places == [(4096, 4096), (8192, 16384), (24576, 12288)]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    length=st.one_of(st.integers(0, 20_000), st.integers(4 * MIB - 5, 9 * MIB)),
    start=st.integers(0, 9000),
    data=st.data(),
)
def test_pieces_and_flushes_anywhere_give_the_same_file(tmp_path, length, start, data) -> None:
    cuts = data.draw(st.lists(st.integers(0, length), max_size=6))
    (tmp_path / "file").unlink(missing_ok=True)
    write(tmp_path / "file", content(length, start), cuts, start)
    assert (tmp_path / "file").read_bytes() == b"." * start + content(length, start)


@needs_direct
@pytest.mark.parametrize("after", [0, 1])
def test_a_file_system_that_refuses_gets_ordinary_writes(tmp_path, monkeypatch, after) -> None:
    def answer(real: Callable[..., int], *asked: object) -> int:
        if len(written) > after:
            raise OSError(errno.EINVAL, "not here")
        return real(*asked)

    written = _watched(monkeypatch, answer)
    write(tmp_path / "file", content(9 * MIB))
    assert (tmp_path / "file").read_bytes() == content(9 * MIB)
    assert len(written) == after + 1


@needs_direct
@pytest.mark.parametrize("part", [1000, 8192])
def test_a_direct_write_that_stops_early_is_gone_on_with(tmp_path, monkeypatch, part) -> None:
    def answer(real: Callable[..., int], descriptor: int, data: memoryview, place: int) -> int:
        if len(written) > 1:
            return real(descriptor, data, place)
        with (tmp_path / "file").open("r+b") as other:
            other.seek(place)
            return other.write(data[:part])

    written = _watched(monkeypatch, answer)
    write(tmp_path / "file", content(9 * MIB))
    assert (tmp_path / "file").read_bytes() == content(9 * MIB)
    assert len(written) > 2


@needs_direct
def test_a_direct_write_that_writes_nothing_is_not_repeated(tmp_path, monkeypatch) -> None:
    written = _watched(monkeypatch, lambda *asked: 0)
    write(tmp_path / "file", content(9 * MIB))
    assert (tmp_path / "file").read_bytes() == content(9 * MIB)
    assert len(written) == 1


def test_a_forked_child_does_not_write_into_what_its_parent_gathers(tmp_path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    with direct.Run(descriptor, 0) as run:
        run.write(memoryview(b"parent's"))
        child = os.fork()
        if not child:
            run._block[:8] = b"a child'"
            os._exit(0)
        os.waitpid(child, 0)
        run.flush()
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"parent's"


@needs_direct
def test_a_system_without_direct_writes_gets_the_file(tmp_path, monkeypatch) -> None:
    monkeypatch.delattr(os, "O_DIRECT")
    write(tmp_path / "file", content(5 * MIB))
    assert (tmp_path / "file").read_bytes() == content(5 * MIB)


def test_what_comes_slowly_does_not_wait_for_a_whole_block(tmp_path, monkeypatch) -> None:
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(direct.time, "monotonic", lambda: float(next(clock)))
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    with direct.Run(descriptor, 0) as run:
        run.write(memoryview(b"a trickle"))
        assert (tmp_path / "file").read_bytes() == b"a trickle"
    os.close(descriptor)


def test_a_full_disk_is_told(tmp_path) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full here")
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space"), direct.Run(descriptor, 0) as run:
        run.write(memoryview(content(5 * MIB)))
    os.close(descriptor)
