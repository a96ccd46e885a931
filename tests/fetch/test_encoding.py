"""Answers compressed though nobody asked for it, of a file of which nothing is published."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from dsets import fetch
from dsets.manifest import File
from tests.fetch.conftest import DATA, Get
from tests.server import Route, Server

FRAMES = {"a length": {}, "chunks": {"chunked": True}, "the connection's end": {"length": None}}


def bare(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


KINDS = {
    "gzip": ("gzip", gzip.compress(DATA)),
    "deflate as zlib": ("deflate", zlib.compress(DATA)),
    "deflate without a head": ("deflate", bare(DATA)),
}


def encoded(kind: str, data: bytes, **more: object) -> Route:
    return Route(data, ranges=False, etag=None, headers={"Content-Encoding": kind}, **more)  # type: ignore[arg-type]


def note(path: Path) -> str:
    receipt = fetch.receipt(path)
    assert receipt
    return receipt.note


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_compressed_data_that_end_early_are_a_cut_however_well_the_answer_ends(
    get: Get, server: Server, kind: str, frame: str
) -> None:
    name, packed = KINDS[kind]

    def mend(route: Route) -> None:
        if server.requests:
            route.data = packed

    server.routes["/a.bin"] = encoded(name, packed[:-9], on_request=mend, **FRAMES[frame])
    path = get(File("a.bin"))
    assert path.read_bytes() == DATA and len(server.requests) == 2
    assert note(path) == ""  # their own end tells that all is there


def test_several_members_are_one_file_and_padding_is_none_of_it(get: Get, server: Server) -> None:
    zeros = bytes(5_000_000)  # inflated in many goes
    packed = gzip.compress(DATA) + gzip.compress(zeros) + bytes(512)
    server.routes["/a.bin"] = encoded("gzip", packed)
    assert get(File("a.bin")).read_bytes() == DATA + zeros


def test_an_empty_answer_is_an_empty_file(get: Get, server: Server) -> None:
    server.routes["/a.bin"] = encoded("gzip", b"")
    assert get(File("a.bin")).read_bytes() == b""
