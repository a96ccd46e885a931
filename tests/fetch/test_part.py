"""What a part that was left is good for: continued where it fits, begun again where not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dsets import direct
from dsets.errors import SpaceError
from dsets.fetch.part import part_size
from dsets.manifest import File
from dsets.progress import Event
from tests.fetch.conftest import DATA, Get, file_of, leave_part
from tests.server import Route, Server


def test_a_part_left_by_a_killed_process_is_continued(
    get: Get, server: Server, folder: Path
) -> None:
    server.routes["/a.bin"] = Route(DATA)
    leave_part(folder, DATA[:1_000_000])
    assert get(file_of(DATA)).read_bytes() == DATA
    (asked,) = server.requests
    assert (asked.headers["Range"], asked.status) == ("bytes=1000000-", 206)


def test_a_complete_part_needs_no_request(get: Get, server: Server, folder: Path) -> None:
    leave_part(folder, DATA)
    assert get(file_of(DATA)).read_bytes() == DATA
    assert server.requests == []


def test_a_part_longer_than_the_file_is_begun_again(get: Get, server: Server, folder: Path) -> None:
    server.routes["/a.bin"] = Route(DATA)
    leave_part(folder, DATA + b"!")
    assert get(file_of(DATA)).read_bytes() == DATA


def test_a_damaged_part_is_found_by_the_digest_and_begun_again_once(
    get: Get, server: Server, folder: Path
) -> None:
    server.routes["/a.bin"] = Route(DATA)
    leave_part(folder, b"\0" * 1_000_000)
    events: list[Event] = []
    assert get(file_of(DATA), events=events).read_bytes() == DATA
    assert [asked.status for asked in server.requests] == [206, 200]
    assert any("do not fit" in event.message for event in events)


def test_a_part_without_size_or_digest_goes_on_only_where_it_began(
    get: Get, server: Server, folder: Path
) -> None:
    server.routes["/a.bin"] = server.routes["/b.bin"] = Route(DATA)
    origin = {"address": f"{server.url}/a.bin", "validator": '"1"', "bytes": len(DATA)}
    leave_part(folder, DATA[:1000], origin)
    assert get(File("a.bin")).read_bytes() == DATA
    assert server.requests[0].headers["If-Range"] == '"1"'
    assert server.requests[0].status == 206
    (folder / "a.bin").unlink()
    leave_part(folder, b"other" * 200, origin)
    assert get(File("a.bin"), "/b.bin").read_bytes() == DATA
    assert "Range" not in server.requests[1].headers


def test_a_complete_part_of_unknown_size_is_recognised_by_its_origin(
    get: Get, server: Server, folder: Path
) -> None:
    origin = {"address": f"{server.url}/a.bin", "validator": '"1"', "bytes": len(DATA)}
    leave_part(folder, DATA, origin)
    assert get(File("a.bin")).read_bytes() == DATA
    assert server.requests == []


def test_a_part_whose_digest_alone_is_known_may_turn_out_complete(
    get: Get, server: Server, folder: Path
) -> None:
    server.routes["/a.bin"] = Route(DATA)
    leave_part(folder, DATA)
    assert get(file_of(DATA, bytes=None)).read_bytes() == DATA
    assert [asked.status for asked in server.requests] == [416]


def test_a_mangled_origin_counts_as_none(get: Get, server: Server, folder: Path) -> None:
    server.routes["/a.bin"] = Route(DATA)
    for junk in ("", "[]", "[" * 100_000, '{"address": 1}', '{"bytes": "x"}'):
        leave_part(folder, DATA[:1000])
        (folder / ".a.bin.part.json").write_text(junk)
        get(File("a.bin")).unlink()
    assert {asked.status for asked in server.requests} == {200}


def test_a_refused_answer_does_not_touch_the_part(get: Get, server: Server, folder: Path) -> None:
    page = Route(b"<html>" + b" " * 2000, headers={"Content-Type": "text/html"}, ranges=False)
    server.routes |= {"/page": page, "/short": Route(b"short", ranges=False), "/a.bin": Route(DATA)}
    leave_part(folder, DATA[:1_000_000])
    get(file_of(DATA), "/page", "/short", "/a.bin")
    assert server.requests[-1].headers["Range"] == "bytes=1000000-"


def test_a_server_without_ranges_gives_the_rest_of_a_part_and_takes_nothing_from_it(
    get: Get, server: Server, folder: Path
) -> None:
    server.routes |= {
        "/short": Route(DATA, ranges=False, cut_after=500_000),
        "/whole": Route(DATA, ranges=False),
        "/a.bin": Route(DATA),
    }
    leave_part(folder, DATA[:1_000_000])
    get(file_of(DATA), "/short", "/a.bin").unlink()
    assert server.requests[-1].headers["Range"] == "bytes=1000000-"
    leave_part(folder, DATA[:1_000_000])
    events: list[Event] = []
    assert get(file_of(DATA), "/whole", events=events).read_bytes() == DATA
    assert min(event.done for event in events if event.done) == 1_000_000
    (folder / "a.bin").unlink()
    leave_part(folder, DATA[:900_000] + bytes(100_000))
    assert get(file_of(DATA), "/whole").read_bytes() == DATA
    (folder / "a.bin").unlink()
    leave_part(folder, bytes(1_000_000))
    before = len(server.requests)
    assert get(file_of(DATA), "/whole").read_bytes() == DATA
    assert len(server.requests) == before + 1, "another beginning is seen at once"


def test_what_a_cut_connection_gave_is_in_the_file_before_the_next_try(
    get: Get, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "WORTH", 1 << 16)
    sizes: list[int] = []
    route = Route(DATA, cut_after=1_000_000, cuts=2)
    route.on_request = lambda route: sizes.append(part_size(folder / "a.bin"))
    server.routes["/a.bin"] = route
    assert get(file_of(DATA)).read_bytes() == DATA
    assert sizes == [0, 1_000_000, 2_000_000]


def test_what_is_in_the_page_cache_is_on_the_disk_before_anything_is_written_past_it(
    get: Get, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut would leave a part with a hole otherwise."""
    monkeypatch.setattr(direct, "WORTH", 1 << 16)
    real, sizes = os.fsync, []

    def fsync(descriptor: int) -> None:
        sizes.append(part_size(folder / "a.bin"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    server.routes["/a.bin"] = Route(DATA)
    assert get(file_of(DATA)).read_bytes() == DATA
    assert any(1 << 16 <= size < len(DATA) for size in sizes)


@pytest.mark.parametrize("over", [-100, 0, 1, 200_000, 1 << 20])
def test_a_disk_that_gets_full_is_told_and_leaves_a_part_to_go_on_from(
    get: Get, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, over: int
) -> None:
    """Before, where, and after the file begins to be written past the page cache."""
    monkeypatch.setattr(direct, "WORTH", 1 << 20)
    room, real = direct.WORTH + over, os.pwrite

    def pwrite(descriptor: int, data: memoryview, place: int) -> int:
        if place >= room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, memoryview(data)[: room - place], place)

    server.routes["/a.bin"] = Route(DATA)
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", pwrite)
        with pytest.raises(SpaceError, match=r"a\.bin: the disk is full; what came so far is kept"):
            get(file_of(DATA))
    assert (folder / "a.bin.part").read_bytes() == DATA[:room]
    assert get(file_of(DATA)).read_bytes() == DATA
    assert server.requests[-1].headers["Range"] == f"bytes={room}-"
