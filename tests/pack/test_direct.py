"""Writing past the page cache: the same bytes in the file, whatever the file system says."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets.pack import direct

HEAD = b"metadata".ljust(4096, b".")
needs_direct = pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="no direct writes here")


def run(seed: int, length: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8).tobytes()


def write(path: Path, blocks: Sequence[bytes], start: int = len(HEAD)) -> None:
    """The blocks from ``start`` on in a file that has its final size before, and a tail behind."""
    length = sum(map(len, blocks))
    with path.open("w+b") as file:
        file.write(HEAD)
        file.truncate(start + length + 4)
        file.seek(start)
        with direct.writing(file, start, length) as one:
            for block in blocks:
                one(memoryview(block))
        assert file.tell() == start + length
        file.write(b"tail")


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The flags of what is opened by descriptor."""
    seen: list[int] = []
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, flags, *more, **named: seen.append(flags) or real(path, flags)
    )
    return seen


@needs_direct
@pytest.mark.parametrize("length", [direct.WORTH, direct.WORTH + 1, direct.WORTH + 8191])
def test_a_long_run_goes_past_the_cache_and_is_there(tmp_path, flags, length) -> None:
    data = run(0, length)
    write(tmp_path / "file", [data[:5], data[5:9_000_000], data[9_000_000:]])
    assert any(flag & os.O_DIRECT for flag in flags)
    found = (tmp_path / "file").read_bytes()
    assert found[:4096] == HEAD
    assert hashlib.sha256(found[4096:-4]).digest() == hashlib.sha256(data).digest()
    assert found[-4:] == b"tail"


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(1, 9_000_000), min_size=1, max_size=6), st.integers(0, 3))
def test_any_blocks_give_the_bytes_of_the_blocks(tmp_path, lengths, seed) -> None:
    blocks = [run(seed + number, length) for number, length in enumerate(lengths)]
    write(tmp_path / "file", blocks)
    assert (tmp_path / "file").read_bytes() == HEAD + b"".join(blocks) + b"tail"


@pytest.mark.parametrize(("start", "length"), [(4096, 1 << 20), (4097, direct.WORTH)])
def test_short_runs_and_odd_places_stay_in_the_cache(tmp_path, flags, start, length) -> None:
    data = run(1, length)
    write(tmp_path / "file", [data], start)
    assert not any(flag & getattr(os, "O_DIRECT", 0) for flag in flags)
    assert (tmp_path / "file").read_bytes()[start:-4] == data


@needs_direct
@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("short", [0, 4096, 1000])
def test_a_file_system_that_refuses_in_the_middle_gets_the_rest_the_usual_way(
    tmp_path, monkeypatch, after, short
) -> None:
    real, calls = os.pwrite, []

    def refusing(descriptor: int, data: memoryview, place: int) -> int:
        calls.append(place)
        if len(calls) <= after:
            return real(descriptor, data, place)
        if short and len(calls) == after + 1:
            some = bytes(data[:short])  # as if it had written no more
            with open(tmp_path / "file", "r+b") as other:
                other.seek(place)
                other.write(some)
            return short
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(os, "pwrite", refusing)
    data = run(2, direct.WORTH + 77)
    write(tmp_path / "file", [data])
    assert len(calls) > after
    assert (tmp_path / "file").read_bytes() == HEAD + data + b"tail"


@needs_direct
def test_a_system_without_direct_writes_gets_the_file(tmp_path, monkeypatch) -> None:
    real = os.open

    def refusing(path: object, flags: int, *more: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "not here")
        return real(path, flags, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refusing)
    data = run(3, direct.WORTH)
    write(tmp_path / "file", [data])
    assert (tmp_path / "file").read_bytes() == HEAD + data + b"tail"
