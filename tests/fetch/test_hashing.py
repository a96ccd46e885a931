"""Digests in the background are the digests in the foreground."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from dsets.fetch import hashing
from dsets.fetch.hashing import CHUNK, Digester, digests
from dsets.fetch.sources import printable, shown

NAMES = ("sha256", "sha1", "md5")


@settings(max_examples=25)
@given(st.lists(st.binary(max_size=200), max_size=60))
def test_the_digest_is_of_all_pieces_in_order_and_may_be_asked_between(pieces: list[bytes]) -> None:
    with Digester(NAMES) as digester:
        for done, piece in enumerate(pieces):
            if done == len(pieces) // 2:
                half = b"".join(pieces[:done])
                assert digester.result()["md5"] == hashlib.md5(half).hexdigest()
            digester.update(piece)
        whole = b"".join(pieces)
        assert digester.result() == {n: hashlib.new(n, whole).hexdigest() for n in NAMES}


@settings(max_examples=50)
@given(st.lists(st.integers(1, 16), min_size=30, max_size=60))
def test_what_is_read_into_the_ring_is_hashed_however_often_it_goes_round(
    counts: list[int],
) -> None:
    with (
        mock.patch.multiple(hashing, CHUNK=16, RING=64, TURN=32),
        Digester(NAMES) as digester,
    ):
        whole = bytearray()
        for number, count in enumerate(counts):
            with digester.block() as block:
                piece = bytes([number]) * min(count, len(block))
                block[: len(piece)] = piece
                block[len(piece) :] = bytes(len(block) - len(piece))  # read, but not given
                digester.update(block[: len(piece)])
            whole += piece
        assert digester.result() == {n: hashlib.new(n, whole).hexdigest() for n in NAMES}


@settings(max_examples=50)
@given(st.integers(0, 100), st.lists(st.integers(0, 50), max_size=30))
def test_more_or_less_may_come_than_was_expected(expected: int, counts: list[int]) -> None:
    with (
        mock.patch.multiple(hashing, CHUNK=16, RING=64, TURN=32, SMALLEST=8),
        Digester(NAMES, expected) as digester,
    ):
        whole = b""
        for number, count in enumerate(counts):
            piece = bytes([number]) * count
            digester.update(piece)
            whole += piece
        assert digester.result() == {n: hashlib.new(n, whole).hexdigest() for n in NAMES}


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"ab" * 500)
    digests(tmp_path / "a", NAMES)  # what is imported at first use
    tracemalloc.start()
    try:
        digests(tmp_path / "a", NAMES)
        assert tracemalloc.get_traced_memory()[1] < CHUNK
    finally:
        tracemalloc.stop()


def test_a_file_longer_than_one_chunk_is_hashed_whole_and_tells_how_far(tmp_path: Path) -> None:
    data = b"ab" * CHUNK
    (tmp_path / "a").write_bytes(data)
    told: list[int] = []
    found = digests(tmp_path / "a", NAMES, told.append)
    assert found == {name: hashlib.new(name, data).hexdigest() for name in NAMES}
    assert told == sorted(set(told)) and told[-1] == len(data)


@given(st.text())
def test_a_strangers_text_becomes_one_short_harmless_line(text: str) -> None:
    line = printable(text)
    assert len(line) <= 80
    assert all(c.isprintable() for c in line)


@given(st.text())
def test_any_text_can_be_shown_as_an_address(text: str) -> None:
    assert "hush" not in shown(f"http://u:hush@h/{text.replace('@', '')}?hush")
    shown(text)


def test_a_closed_one_that_somebody_still_holds_has_no_memory() -> None:
    tracemalloc.start()
    try:
        held = [Digester(["sha256"]) for _ in range(3)]
        for digester in held:
            digester.update(b"data")
            digester.close()
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
