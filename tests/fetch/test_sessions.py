"""Connections stay open from file to file, and nobody else's are used."""

from __future__ import annotations

import hashlib
import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from dsets import fetch
from dsets.fetch import Patience, sessions
from dsets.fetch.sessions import Sessions
from dsets.manifest import File
from dsets.progress import Event
from tests.fetch.conftest import manifest_of
from tests.server import Route, Server

DATA = os.urandom(1 << 18)


class Hasty(socketserver.ThreadingTCPServer):
    """Answers the first request of a connection; at the second it sends ``late`` and hangs up."""

    daemon_threads = True

    def __init__(self, late: bytes) -> None:
        self.late = late
        self.clients: list[int] = []
        super().__init__(("127.0.0.1", 0), _HastyHandler)


class _HastyHandler(socketserver.BaseRequestHandler):
    server: Hasty

    def handle(self) -> None:
        self.request.recv(1 << 16)
        self.server.clients.append(self.client_address[1])
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DATA)
        self.request.sendall(head + DATA)
        if self.request.recv(1 << 16):
            self.request.sendall(self.server.late)


#: What may be left of an answer whose server sends more than it said.
LATE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
def hasty(request: pytest.FixtureRequest) -> Iterator[Hasty]:
    with Hasty(request.param) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("hasty", [b"", LATE], indirect=True, ids=["nothing", "late"])
@pytest.mark.parametrize("size", [len(DATA), None], ids=["size", "no size"])
@pytest.mark.parametrize("digest", [True, False], ids=["digest", "no digest"])
def test_what_a_used_connection_gives_wrongly_or_not_costs_no_try_and_is_never_kept(
    hasty: Hasty, folder: Path, patience: Patience, size: int | None, digest: bool
) -> None:
    sha256 = hashlib.sha256(DATA).hexdigest() if digest else None
    address = f"http://127.0.0.1:{hasty.server_address[1]}"
    files = tuple(File(name, (f"{address}/{name}",), size, sha256) for name in "abc")
    told: list[Event] = []
    plan = fetch.plan(manifest_of(*files), folder)
    once = replace(patience, tries=1)
    for path in fetch.files(plan, patience=once, jobs=1, progress=told.append):
        assert path.read_bytes() == DATA
    assert not [event.message for event in told if event.message]
    assert len(set(hasty.clients)) == 3


def test_a_closed_session_has_no_connection_left_before_anything_is_collected(
    server: Server,
) -> None:
    server.routes["/a"] = Route(DATA)
    with closing(Sessions()) as those:
        with those.one() as one:
            response = one.get(f"{server.url}/a")
        pool = response.raw._pool
        assert pool.pool is not None
    assert pool.pool is None  # and so are its connections, though the response refers to it


def fetched(server: Server, folder: Path, patience: Patience, names: str, jobs: int = 1) -> None:
    """Each a file of a job; what the routes give it is for the routes to say."""
    sha256 = hashlib.sha256(DATA).hexdigest()
    files = tuple(File(name, (f"{server.url}/{name}",), len(DATA), sha256) for name in names)
    plan = fetch.plan(manifest_of(*files), folder)
    for path in fetch.files(plan, patience=patience, jobs=jobs):
        assert path.read_bytes() == DATA


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_files_of_a_job_share_a_connection_for_each_that_is_fetched_at_once(
    server: Server, folder: Path, patience: Patience, jobs: int
) -> None:
    server.routes |= {f"/{name}": Route(DATA) for name in "abcdefgh"}
    fetched(server, folder, patience, "abcdefgh", jobs)
    assert 1 <= len({asked.client for asked in server.requests}) <= jobs
    assert len(server.requests) == 8


def test_after_a_cut_the_next_file_comes_by_another_connection(
    server: Server, folder: Path, patience: Patience
) -> None:
    server.routes |= {"/a": Route(DATA, cut_after=1000, cuts=1), "/b": Route(DATA)}
    fetched(server, folder, patience, "ab")
    first, rest, other = server.requests
    assert first.client != rest.client == other.client


def test_a_connection_that_the_server_closed_meanwhile_is_made_anew(
    server: Server, folder: Path, patience: Patience
) -> None:
    server.routes |= {name: Route(DATA, headers={"Connection": "close"}) for name in ("/a", "/b")}
    fetched(server, folder, patience, "ab")
    assert len({asked.client for asked in server.requests}) == 2


def test_a_body_that_tells_no_length_closes_its_connection(
    server: Server, folder: Path, patience: Patience
) -> None:
    server.routes |= {"/a": Route(DATA, length=None), "/b": Route(DATA, chunked=True)}
    fetched(server, folder, patience, "ab")
    assert len({asked.client for asked in server.requests}) == 2


def test_one_that_was_idle_for_too_long_is_not_used_again() -> None:
    with closing(Sessions()) as those:
        with those.one() as first:
            pass
        with those.one() as again:
            assert again is first
        with mock.patch.object(sessions, "IDLE_S", -1), those.one() as fresh:
            assert fresh is not first


def test_each_is_lent_to_one_at_a_time_and_forgets_cookies() -> None:
    with closing(Sessions()) as those:
        with those.one() as one, those.one() as other:
            assert one is not other
            one.cookies.set("who", "me")
        with those.one() as one, those.one() as other:
            assert not one.cookies and not other.cookies


def test_those_that_were_given_back_long_ago_are_closed() -> None:
    with closing(Sessions()) as those:
        with those.one() as one, those.one() as other:
            pass
        with (
            mock.patch.object(one, "close") as closed,
            mock.patch.object(other, "close", closed),
            mock.patch.object(sessions, "IDLE_S", -1),
            those.one(),
        ):
            pass
        assert closed.call_count == 2


def test_one_whose_user_failed_is_closed() -> None:
    with closing(Sessions()) as those:
        with pytest.raises(KeyError), those.one() as first:
            raise KeyError
        with those.one() as second:
            assert second is not first


def test_many_threads_take_and_give_back() -> None:
    busy: set[int] = set()

    def work() -> None:
        for _ in range(50):
            with those.one() as one:
                assert id(one) not in busy
                busy.add(id(one))
                busy.remove(id(one))

    with closing(Sessions()) as those:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not busy


def test_a_forked_child_makes_its_own() -> None:
    with closing(Sessions()) as those:
        with those.one() as parents:
            pass
        child = os.fork()
        if not child:
            with those.one() as mine:
                os._exit(int(mine is parents))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with those.one() as again:
            assert again is parents
