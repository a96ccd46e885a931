"""Streams: never more bytes than allowed, never silence about damage."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets.archive import gz
from dsets.archive.stream import Stream
from dsets.errors import DataError

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def everything(path: Path, limit: int = 1 << 20, step: int = 1000) -> bytes:
    with Stream(path, limit) as stream:
        pieces = []
        while data := stream.read(step):
            pieces.append(data)
        return b"".join(pieces)


@FRESH
@given(parts=st.lists(st.binary(max_size=3000), min_size=1), step=st.integers(1, 5000))
def test_a_gzip_file_of_any_members_gives_what_went_in(
    tmp_path: Path, parts: list[bytes], step: int
) -> None:
    (tmp_path / "a").write_bytes(b"".join(map(gzip.compress, parts)))
    assert everything(tmp_path / "a", step=step) == b"".join(parts)


@FRESH
@given(data=st.binary(min_size=2), sizes=st.lists(st.integers(1, 20)))
def test_peeking_takes_nothing_away(tmp_path: Path, data: bytes, sizes: list[int]) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(data))
    with Stream(tmp_path / "a", len(data)) as stream:
        found = b""
        for size in sizes:
            ahead = stream.peek(size)
            assert ahead == data[len(found) : len(found) + size]
            found += stream.read(size)
        found += b"".join(iter(lambda: stream.read(7), b""))
    assert found == data


@FRESH
@given(data=st.binary(max_size=300), marked=st.booleans())
def test_arbitrary_bytes_raise_nothing_but_data_error(
    tmp_path: Path, data: bytes, marked: bool
) -> None:
    (tmp_path / "a").write_bytes((b"\x1f\x8b\x08\0" if marked else b"") + data)
    try:
        everything(tmp_path / "a")
    except DataError as error:
        assert str(tmp_path) in str(error)


def test_a_bomb_is_refused_before_it_costs_more_than_allowed(tmp_path: Path) -> None:
    packer = zlib.compressobj(1, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    assert len(bomb) < 1 << 20  # 100 MiB in less than one
    (tmp_path / "a").write_bytes(bomb)
    with Stream(tmp_path / "a", 1000) as stream:
        with pytest.raises(DataError, match="holds too much; expected at most 1,000 bytes"):
            stream.read(1 << 30)
        with pytest.raises(DataError, match="holds too much"):
            stream.read(1 << 30)
        assert stream.offset == 0


def test_a_length_beyond_the_limit_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    with (
        Stream(tmp_path / "a", 1000) as stream,
        pytest.raises(DataError, match="the picture would be too long; expected at most 1,000"),
    ):
        stream.exactly(1 << 62, "the picture")


def test_exactly_as_much_as_allowed_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(bytes(1000)))
    assert everything(tmp_path / "a", limit=1000) == bytes(1000)
    with pytest.raises(DataError, match="too much"):
        everything(tmp_path / "a", limit=999)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"abc")[:-1], "gzip data cut short"),
        (gzip.compress(b"abc")[:5], "gzip data cut short"),
        (b"\x1f\x8b", "gzip data cut short"),
        (b"\x1f\x8b\x09" + bytes(20), "damaged gzip data"),
        (gzip.compress(b"abc") + b"\0\0\0x", "foreign bytes"),
        (gzip.compress(b"abc") + b"\x1f", "foreign bytes"),
        (gzip.compress(b"abc") + b"<html>", "foreign bytes"),
        (gzip.compress(b"abc") + b"\x1f\x8b", "gzip data cut short"),
        (gzip.compress(b"") * (gz.MEMBERS + 1), "more than 10,000 gzip members"),
        (b"", "empty file"),
    ],
)
def test_damage_is_one_error_that_names_the_file(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=f"a: {message}.*fetch it again"):
        everything(tmp_path / "a")


def test_zeros_after_the_end_are_padding(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(b"abc") + bytes(100_000))
    assert everything(tmp_path / "a") == b"abc"


def test_a_wrong_checksum_is_found_even_if_only_the_bytes_before_it_are_asked_for(
    tmp_path: Path,
) -> None:
    content = bytearray(gzip.compress(b"abc"))
    content[-8] ^= 1
    (tmp_path / "a").write_bytes(content)
    with Stream(tmp_path / "a", 3) as stream, pytest.raises(DataError, match="data check"):
        stream.exactly(3, "it")
        stream.finish()


@pytest.mark.parametrize("name", ["absent", ".", "pipe"])
def test_what_is_no_file_is_a_data_error_and_nothing_waits(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="no such file"):
        Stream(tmp_path / name, 1)
