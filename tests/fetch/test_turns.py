"""Several addresses of one file: which is asked when, and which is left."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from dsets import fetch
from dsets.fetch import Patience
from dsets.manifest import File
from dsets.progress import Event
from tests.fetch.conftest import DATA, Get, failure, file_of, manifest_of
from tests.server import Route, Server, trickling

HEAD = b"HTTP/1.1 200 OK\r\n"


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_server_is_asked_again(get: Get, server: Server, status: int) -> None:
    server.routes["/a.bin"] = Route(DATA, statuses=[status] * 4, headers={"Retry-After": "0"})
    assert get(file_of(DATA)).read_bytes() == DATA
    assert len(server.requests) == 5


def test_a_server_that_stays_busy_is_left_for_the_next(get: Get, server: Server) -> None:
    server.routes["/busy"] = Route(statuses=[503] * 99)
    server.routes["/a.bin"] = Route(DATA)
    assert get(file_of(DATA), "/busy", "/a.bin").read_bytes() == DATA
    assert len(server.asked("/busy")) == 1


def test_addresses_that_fail_take_turns(get: Get, server: Server) -> None:
    server.routes |= {"/a.bin": Route(DATA, statuses=[503] * 3), "/b": Route(statuses=[503] * 9)}
    assert get(file_of(DATA), "/a.bin", "/none", "/b").read_bytes() == DATA
    asked = [one.path for one in server.requests]
    assert asked.count("/none") == 1, "a refusal is final"
    assert (asked.count("/a.bin"), asked.count("/b")) == (4, 3)


def test_an_address_that_brings_much_is_kept_when_it_is_cut(get: Get, server: Server) -> None:
    server.routes |= {"/a.bin": Route(DATA, cut_after=1_200_000), "/b": Route(DATA)}
    assert get(file_of(DATA), "/a.bin", "/b").read_bytes() == DATA
    assert not server.asked("/b")


def test_a_part_that_only_one_address_may_continue_is_kept_for_it(get: Get, server: Server) -> None:
    server.routes |= {"/a.bin": Route(DATA, cut_after=1_000_000), "/b": Route(DATA)}
    assert get(File("a.bin"), "/a.bin", "/b").read_bytes() == DATA
    assert not server.asked("/b")


def test_a_server_that_wants_an_hour_is_left_at_once(get: Get, server: Server) -> None:
    server.routes["/busy"] = Route(statuses=[503] * 99, headers={"Retry-After": "3600"})
    server.routes["/a.bin"] = Route(DATA)
    get(file_of(DATA), "/busy", "/a.bin")
    assert len(server.asked("/busy")) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final_and_named(get: Get, server: Server, folder: Path, status: int) -> None:
    server.routes["/a.bin"] = Route(statuses=[status] * 99)
    message = failure(get, file_of(DATA), folder=folder)
    assert f"{server.url}/a.bin: answered {status}" in message
    assert len(server.requests) == 1


def test_the_error_says_what_each_address_gave(get: Get, server: Server, folder: Path) -> None:
    server.routes |= {
        "/page": Route(b"<html><title>Sign in</title>", headers={"Content-Type": "text/html"}),
        "/short": Route(DATA[:-1]),
        "/wrong": Route(b"x" + DATA[1:]),
    }
    message = failure(get, file_of(DATA), "/none", "/page", "/short", "/wrong", folder=folder)
    assert "/none: answered 404" in message
    assert "/page: sent an HTML page" in message
    assert f"/short: has {len(DATA) - 1} bytes, the manifest says {len(DATA)}" in message
    assert f"/wrong: sent sha256 {hashlib.sha256(b'x' + DATA[1:]).hexdigest()}" in message
    assert not (folder / "a.bin.part").exists(), "wrong bytes are thrown away"


def test_a_silent_server_is_left_for_the_next(get: Get, server: Server) -> None:
    server.routes["/still"] = Route(DATA, stall_after=1_000_000, ranges=False)
    server.routes["/a.bin"] = Route(DATA)
    events: list[Event] = []
    assert get(file_of(DATA), "/still", "/a.bin", events=events).read_bytes() == DATA
    assert any("nothing came for 0.5 s" in event.message for event in events)
    assert len(server.asked("/still")) == 1
    assert server.asked("/a.bin")[0].headers["Range"] == "bytes=1000000-"


def test_the_first_time_an_address_gets_less_patience_where_there_are_others(
    server: Server, folder: Path
) -> None:
    server.routes |= {"/still": Route(DATA, stall_after=1000), "/a.bin": Route(DATA)}
    addresses = (f"{server.url}/still", f"{server.url}/a.bin")
    events: list[Event] = []
    plan = fetch.plan(manifest_of(file_of(DATA, addresses=addresses)), folder)
    fetch.files(plan, patience=Patience(read_s=60, first_s=0.2), progress=events.append)
    assert any(re.search(r" (for|in) 0\.2 s", event.message) for event in events)


@pytest.mark.parametrize("first", [b"", HEAD + b"X: ", HEAD + b"\r\n", CHUNKED + b"5;"])
def test_a_server_that_only_trickles_is_left_for_the_next(
    server: Server, folder: Path, first: bytes
) -> None:
    """Byte after byte, for ever: in the first line, a header, the body, the head of a chunk."""
    server.routes["/a.bin"] = Route(DATA)
    with trickling(first) as slow:
        addresses = (f"{slow}/a.bin", f"{server.url}/a.bin")
        patience = Patience(read_s=0.2, slow_s=0.2, slow_bytes=1000, pause_s=0, tries=2)
        events: list[Event] = []
        plan = fetch.plan(manifest_of(file_of(DATA, addresses=addresses)), folder)
        (path,) = fetch.files(plan, patience=patience, progress=events.append)
    assert path.read_bytes() == DATA
    said = [event.message for event in events if event.message]
    assert any("only a trickle came" in one or "no answer within" in one for one in said), said


def test_the_right_bytes_come_from_the_mirror_after_the_wrong_one(get: Get, server: Server) -> None:
    server.routes |= {"/wrong": Route(DATA[::-1]), "/a.bin": Route(DATA)}
    assert get(file_of(DATA), "/wrong", "/a.bin").read_bytes() == DATA
    assert server.asked("/a.bin")[0].headers.get("Range") is None, "wrong bytes are not continued"
