"""Small files one by one: the whole of each, or why not."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from dsets.fetch import Patience
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.singles import Absent, Folder
from dsets.fetch.stop import Stop
from tests.server import Route, Server

DATA = bytes(range(256)) * 100


def test_a_file_comes_whole_whatever_is_cut(server: Server, patience: Patience) -> None:
    server.routes["/f/a%20b.jpg"] = Route(DATA, cut_after=1000, cuts=2, statuses=[503])
    server.routes["/f/c.jpg"] = Route(DATA, chunked=True)
    with Folder(f"{server.url}/f/", patience, Stop()) as folder:
        assert folder.read("a b.jpg", 1 << 20) == DATA
        assert folder.read("c.jpg", len(DATA)) == DATA
        assert folder.spent.requests == len(server.requests) == 4


def test_what_comes_without_a_length_is_asked_for_again_where_it_seems_cut(
    server: Server, patience: Patience
) -> None:
    server.routes["/once"] = Route(DATA, length=None, cut_after=1000, cuts=1)
    server.routes["/always"] = Route(DATA, length=None, cut_after=1000)
    with Folder(server.url, patience, Stop()) as folder:
        assert folder.read("once", 1 << 20, DATA.__eq__) == DATA
        assert folder.read("always", 1 << 20, DATA.__eq__) == DATA[:1000]
        assert [len(server.asked(path)) for path in ("/once", "/always")] == [2, 3]


def test_a_checksum_proves_what_comes_without_a_length(server: Server, patience: Patience) -> None:
    sums = {"Content-MD5": base64.b64encode(hashlib.md5(DATA).digest()).decode()}
    server.routes["/a"] = Route(DATA, length=None, headers=sums, cut_after=1000, cuts=1)
    with Folder(server.url, patience, Stop()) as folder:
        assert folder.read("a", 1 << 20, lambda data: False) == DATA
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_is_not_there_is_absent(server: Server, patience: Patience, status: int) -> None:
    server.routes["/a"] = Route(DATA, statuses=[status])
    with Folder(server.url, patience, Stop()) as folder, pytest.raises(Absent):
        folder.read("a", 1 << 20)


def test_what_is_too_large_is_not_read(server: Server, patience: Patience) -> None:
    server.routes["/a"] = Route(DATA)
    server.routes["/b"] = Route(DATA, chunked=True)
    with Folder(server.url, patience, Stop()) as folder:
        for name in "ab":
            with pytest.raises(Absent):
                folder.read(name, 1000)
        assert folder.spent.received <= 1001


def test_other_answers_end_the_address(server: Server, patience: Patience) -> None:
    server.routes["/a"] = Route(DATA, statuses=[400])
    server.routes["/b"] = Route(DATA, headers={"Content-Encoding": "br"})
    server.routes["/c"] = Route(DATA, statuses=[503] * 99)
    with Folder(server.url, patience, Stop()) as folder:
        with pytest.raises(Refused, match="answered 400"):
            folder.read("a", 1 << 20)
        with pytest.raises(Refused, match="encoded"):
            folder.read("b", 1 << 20)
        with pytest.raises(Cut, match="answered 503"):
            folder.read("c", 1 << 20)
    with pytest.raises(Refused, match="is not an address"):
        Folder("s3://bucket", patience, Stop())


def test_a_folder_of_this_machine(tmp_path: Path, patience: Patience) -> None:
    (tmp_path / "a").write_bytes(DATA)
    with Folder(tmp_path.as_uri(), patience, Stop()) as folder:
        assert folder.read("a", 1 << 20) == DATA
        for name, limit in (("b", 9), ("a", 9)):
            with pytest.raises(Absent):
                folder.read(name, limit)
