"""Calling work off wakes whoever reads, and never fails on what has ended meanwhile."""

from __future__ import annotations

import http.client
import socket
import threading

import pytest

from dsets.fetch import Patience
from dsets.fetch.connection import session
from dsets.fetch.side_by_side import Lanes
from dsets.fetch.stop import Stop, Stopped, shut
from dsets.fetch.wire import Wire, ask
from tests.server import Route, Server


def test_a_connection_that_is_read_is_broken() -> None:
    here, there = socket.socketpair()
    with here, there:
        stop = Stop()
        with stop.waking(lambda: shut(here.fileno)):
            stop.call()
        assert here.recv(1) == b""


def test_an_answer_that_has_ended_has_nothing_to_break() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        answer = http.client.HTTPResponse(here)
        answer.begin()
        answer.read()
        answer.close()
        stop = Stop()
        with stop.waking(lambda: shut(answer.fileno)):
            stop.call()
        assert stop.called


def test_a_wait_for_an_answer_is_ended(server: Server) -> None:
    came = []

    def never(route: Route) -> None:
        came.append(route)
        stop.call()
        server.release.wait()

    server.routes["/a.bin"] = Route(b"", on_request=never)
    stop, patience = Stop(), Patience(read_s=threading.TIMEOUT_MAX)
    with session() as asked:
        asked.answered = True  # so that a connection that breaks has it ask once more
        wire = Wire(asked, patience, stop, lambda: None, Lanes())
        with pytest.raises(Stopped):
            ask(f"{server.url}/a.bin", {}, wire)
    assert len(came) == 1


def test_it_may_be_called_where_it_is_being_called() -> None:
    stop, woken = Stop(), []

    def wake() -> None:
        woken.append(None)
        if len(woken) == 1:
            stop.call()

    def call() -> None:
        with stop.waking(wake):
            stop.call()

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive() and len(woken) == 2
