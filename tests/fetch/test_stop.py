"""Calling work off wakes whoever reads, and never fails on what has ended meanwhile."""

from __future__ import annotations

import http.client
import socket
import threading

from dsets.fetch.stop import Stop, shut


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
