"""Ranges of a file that stays on its server: right bytes, or one clear refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from dsets.errors import DataError
from dsets.fetch import Patience
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.ranges import Remote
from dsets.fetch.stop import Stop, Stopped
from dsets.manifest import File
from tests.fetch.conftest import DATA
from tests.server import Route, Server, trickling

FILE = File("a.bin", bytes=len(DATA))


def remote(server: Server, patience: Patience, file: File = FILE) -> Remote:
    return Remote(f"{server.url}/a.bin", file, patience, Stop())


def test_any_thread_reads_any_range(server: Server, patience: Patience) -> None:
    server.routes["/a.bin"] = Route(DATA)
    got: dict[int, bytes] = {}
    with remote(server, patience) as there:
        threads = [
            Thread(target=lambda at=at: got.update({at: there.read(at, 100_000)}))
            for at in range(0, 800_000, 100_000)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert there.size == len(DATA)
        assert (there.spent.requests, there.spent.received) == (9, 800_001)
    assert got == {at: DATA[at : at + 100_000] for at in got} and len(got) == 8
    assert len(server.requests) == 9


def test_an_unpublished_size_is_learned_and_a_published_one_binds(
    server: Server, patience: Patience
) -> None:
    server.routes["/a.bin"] = Route(DATA)
    with remote(server, patience, File("a.bin")) as there:
        assert there.size == len(DATA)
    for size in (len(DATA) - 1, len(DATA) + 1):
        with pytest.raises(Refused, match=f"has {len(DATA)} bytes, the manifest says {size}"):
            remote(server, patience, File("a.bin", bytes=size))


def test_a_file_of_this_machine(tmp_path: Path, patience: Patience) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(DATA)
    with Remote(path.as_uri(), FILE, patience, Stop()) as there:
        assert there.read(5, 10) == DATA[5:15]
        with pytest.raises(DataError, match="cut short in a picture"):
            there.read(len(DATA) - 1, 2, "a picture")
        path.write_bytes(b"")
        with pytest.raises(Refused, match="was shortened"):
            there.read(0, 1)
    with pytest.raises(Refused, match="no such file"):
        Remote((tmp_path / "b").as_uri(), FILE, patience, Stop())
    with pytest.raises(Refused, match="is not a file"):
        Remote(tmp_path.as_uri(), FILE, patience, Stop())


def test_what_a_cut_leaves_is_asked_for_again(server: Server, patience: Patience) -> None:
    server.routes["/a.bin"] = route = Route(DATA)
    with remote(server, patience) as there:
        route.cut_after, route.cuts, route.statuses = 30_000, 4, [503]
        assert there.read(10, 100_000) == DATA[10:100_010]
    asked = [one.headers["Range"] for one in server.requests if one.status == 206]
    assert asked[1:] == [f"bytes={at}-100009" for at in (10, 30_010, 60_010, 90_010)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda route: setattr(route, "ranges", False), "the whole file; not downloaded"),
        (
            lambda route: setattr(route, "headers", {"Content-Range": "bytes 0-99/3000000"}),
            r"sent another range \(bytes 0-99/3000000\) than 10-109/3000000",
        ),
        (
            lambda route: setattr(route, "headers", {"Content-Range": "nonsense/*"}),
            "sent another range",
        ),
        (
            lambda route: setattr(route, "headers", {"Content-Encoding": "gzip"}),
            "sent a range encoded",
        ),
        (lambda route: setattr(route, "length", 99), "sent 99 bytes for a range of 100"),
        (lambda route: setattr(route, "etag", '"2"'), "the file changed there"),
        (lambda route: setattr(route, "data", DATA + b"more"), "the file changed there"),
        (lambda route: setattr(route, "data", b"less"), "the file changed there"),
        (lambda route: setattr(route, "statuses", [404]), "answered 404"),
        (lambda route: setattr(route, "redirect", "ftp://a"), "an address of neither http nor"),
    ],
)
def test_a_server_that_turns_bad_is_refused(
    server: Server, patience: Patience, spoil: Callable[[Route], None], message: str
) -> None:
    server.routes["/a.bin"] = route = Route(DATA)
    with remote(server, patience) as there:
        spoil(route)
        with pytest.raises(Refused, match=message):
            there.read(10, 100)
        assert there.spent.received < 1000


def test_a_server_without_ranges_is_refused_before_its_body(
    server: Server, patience: Patience
) -> None:
    server.routes["/a.bin"] = Route(bytes(50_000_000), ranges=False)
    with pytest.raises(Refused, match="answers a range with the whole file; not downloaded"):
        remote(server, patience, File("a.bin"))


def test_patience_ends(server: Server, patience: Patience) -> None:
    server.routes["/a.bin"] = route = Route(DATA)
    with remote(server, patience) as there:
        route.statuses = [503] * 100
        with pytest.raises(Cut, match="answered 503"):
            there.read(0, 10)
    assert len(server.requests) == 1 + patience.tries


def test_a_silent_server_and_one_that_trickles_count_as_cut(server: Server) -> None:
    patience = Patience(connect_s=5, read_s=0.2, pause_s=0, tries=2, slow_s=0.1)
    server.routes["/a.bin"] = route = Route(DATA)
    with remote(server, patience) as there:
        route.stall_after = 100
        with pytest.raises(Cut, match=r"nothing came|trickle"):
            there.read(0, 1000)
    head = b"HTTP/1.1 206 OK\r\nContent-Range: bytes 2999999-2999999/3000000\r\n"
    with trickling(head + b"Content-Length: 1\r\nX: ") as url, pytest.raises(Cut):
        Remote(f"{url}/a", FILE, Patience(connect_s=5, read_s=0.2, tries=1), Stop())


def test_stopping_ends_a_read_that_waits(server: Server) -> None:
    server.routes["/a.bin"] = route = Route(DATA)
    stop = Stop()
    with Remote(f"{server.url}/a.bin", FILE, Patience(), stop) as there:
        route.stall_after = 100
        thread = Thread(target=lambda: (server.stalled.wait(), stop.call()))
        thread.start()
        with pytest.raises(Stopped):
            there.read(0, 1000)
        thread.join()
