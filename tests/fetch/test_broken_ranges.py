"""Servers that answer wrongly to a range: the whole file is asked for, or another address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fetch.conftest import DATA, Get, failure, file_of, leave_part
from tests.server import Route, Server

BROKEN_RANGES = {
    "another offset": {"Content-Range": "bytes 1005-2999999/3000000"},
    "no offset": {"Content-Range": ""},
    "another total": {"Content-Range": "bytes 1000-2999999/2999000"},
}


def _break_ranges(route: Route, status: int, headers: dict[str, str]) -> None:
    """Have every answer to a range, and no other, be as broken as this."""

    def breaks(asked: Mapping[str, str]) -> None:
        ranged = "Range" in asked
        route.headers = headers if ranged and status == 206 else {}
        route.statuses = [status] if ranged and status != 206 else []

    route.on_headers = breaks


@pytest.mark.parametrize("facts", [{}, {"bytes": None, "sha256": None, "md5": None}])
@pytest.mark.parametrize("broken", [*BROKEN_RANGES, 400, 403, 501])
def test_where_ranges_are_broken_the_whole_file_is_asked_for(
    get: Get, server: Server, folder: Path, broken: str | int, facts: dict[str, None]
) -> None:
    route = server.routes["/a.bin"] = Route(DATA)
    status = broken if isinstance(broken, int) else 206
    _break_ranges(route, status, BROKEN_RANGES.get(str(broken), {}))
    origin = {"address": server.url + "/a.bin", "validator": '"1"', "bytes": len(DATA)}
    leave_part(folder, DATA[:1000], origin)
    assert get(file_of(DATA, **facts)).read_bytes() == DATA
    assert [asked.status for asked in server.requests] == [status, 200]
    assert "Range" not in server.requests[1].headers


def test_what_is_here_stays_where_ranges_are_broken_and_the_whole_file_is_cut(
    get: Get, server: Server, folder: Path
) -> None:
    route = server.routes["/a.bin"] = Route(DATA, cut_after=900, cuts=2)
    _break_ranges(route, 206, {"Content-Range": ""})
    leave_part(folder, DATA[:1000])
    assert get(file_of(DATA)).read_bytes() == DATA
    asked = ["Range" in one.headers for one in server.requests]
    assert asked == [True, False, False], "ranges were tried once"
    assert 206 not in [asked.status for asked in server.requests[1:]], server.requests


def test_another_address_goes_on_before_one_with_broken_ranges_sends_all(
    get: Get, server: Server, folder: Path
) -> None:
    server.routes["/b"] = Route(DATA)
    route = server.routes["/a.bin"] = Route(DATA)
    _break_ranges(route, 206, {"Content-Range": ""})
    leave_part(folder, DATA[:1000])
    assert get(file_of(DATA), "/a.bin", "/b").read_bytes() == DATA
    assert [(one.path, one.status) for one in server.requests] == [("/a.bin", 206), ("/b", 206)]


def test_a_range_for_the_whole_file_is_refused(get: Get, server: Server, folder: Path) -> None:
    route = server.routes["/a.bin"] = Route(DATA[:1001], answers=206)
    route.headers = {"Content-Range": "bytes 0-999/3000000"}
    leave_part(folder, DATA[:1000])
    message = failure(get, file_of(DATA), folder=folder)
    assert "sent a range (bytes 0-999/3000000) instead of the whole file" in message
    assert "another try will not help" in message
    assert (folder / "a.bin.part").read_bytes() == DATA[:1000]
    assert ["Range" in one.headers for one in server.requests] == [True, False]


def test_all_of_a_file_may_be_called_a_range_of_it(get: Get, server: Server) -> None:
    server.routes["/a.bin"] = Route(
        DATA, answers=206, headers={"Content-Range": "bytes 0-2999999/3000000"}
    )
    assert get(file_of(DATA)).read_bytes() == DATA
