"""How much of one file is taken from a server that sends and sends."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dsets.fetch.part import part_size
from dsets.manifest import File
from tests.fetch.conftest import DATA, Get, failure, file_of, leave_part
from tests.server import Route, Server


@pytest.fixture(params=[{}, {"sha256": None, "md5": None}], ids=["digests", "no digests"])
def unsized(request: pytest.FixtureRequest) -> File:
    """A file of which the manifest does not say the size."""
    return file_of(DATA, bytes=None, **request.param)


def test_a_body_without_an_end_is_cut_off(get: Get, server: Server, folder: Path) -> None:
    server.routes["/a.bin"] = Route(DATA * 3, length=None)
    assert "sends more than" in failure(get, file_of(DATA), folder=folder)


def test_a_body_of_which_nobody_tells_the_size_has_a_limit(
    get: Get, server: Server, folder: Path, unsized: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsets.fetch.bounds.LARGEST", len(DATA))
    endless = server.routes["/a.bin"] = Route(DATA + b"!", length=None)
    message = failure(get, unsized, folder=folder)
    assert "sends more than 3000000 bytes, and neither the manifest nor the server" in message
    assert "another try will not help" in message
    assert not list(folder.iterdir()), "nothing of it stays"
    endless.length = -1
    server.routes["/b"] = Route(DATA)
    assert get(unsized, "/b").read_bytes() == DATA, "and one with a size has none"


def test_a_body_of_which_nobody_tells_the_size_leaves_a_reserve_of_the_disk(
    get: Get, server: Server, folder: Path, unsized: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsets.fetch.bounds.LOOK", 1 << 20)
    usage = type(shutil.disk_usage(folder.parent))
    free = (2 << 30) + 1
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: usage(1 << 40, 0, free - part_size(folder / "a.bin"))
    )
    server.routes |= {"/a.bin": Route(DATA, length=None), "/b": Route(DATA)}
    message = failure(get, unsized, folder=folder)
    assert "left the disk with less than 2147483648" in message
    assert not list(folder.iterdir()), "nothing of it stays"
    assert get(unsized, "/a.bin", "/b").read_bytes() == DATA


def test_a_range_without_a_length_ends_where_the_file_does(
    get: Get, server: Server, folder: Path
) -> None:
    server.routes["/a.bin"] = Route(
        DATA, length=None, headers={"Content-Range": "bytes 1000-1999/2000"}
    )
    leave_part(folder, DATA[:1000])
    message = failure(get, file_of(DATA, bytes=None), folder=folder)
    assert "sends more than the 2000 bytes that it itself says" in message
