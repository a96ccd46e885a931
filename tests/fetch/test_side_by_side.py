"""One file over several connections: the right bytes, whatever the server makes of ranges."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from dsets import fetch
from dsets.fetch import Patience
from dsets.progress import Event
from tests.fetch.conftest import file_of, manifest_of

DATA = hashlib.shake_128(b"side by side").digest(6_000_000)
OTHER = hashlib.shake_128(b"another file").digest(6_000_000)
#: Judge the first connection at once, find it slow, and never find that another brings nothing.
EAGER = Patience(connect_s=5, read_s=2, pause_s=0, alone_s=0, left_s=0, gain=0)
Answer = tuple[int, Mapping[str, str], bytes]


class Ranges(ThreadingHTTPServer):
    """Serves DATA; ``spoil(start, end, answer)`` may make another answer of a closed range."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, spoil: Callable[[int, int, Answer], Answer | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spoil = spoil
        self.closed: list[tuple[int, int]] = []
        self.open: list[int] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/a.bin"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has enough leaves."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Ranges

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(first), int(last) + 1 if last else len(DATA)
        named = {"Content-Range": f"bytes {start}-{end - 1}/{len(DATA)}"}
        answer: Answer | None = (206, named, DATA[start:end])
        if "Range" not in self.headers:
            answer = (200, {}, DATA)
        with self.server.lock:
            self.server.closed.append((start, end)) if last else self.server.open.append(start)
        if last and answer:
            answer = self.server.spoil(start, end, answer)
        if answer is None:  # the connection breaks before any answer
            self.close_connection = True
            return
        status, headers, body = answer
        fixed = {"Accept-Ranges": "bytes", "ETag": '"1"', "Content-Length": str(len(body))}
        self.send_response_only(status)
        for name, value in (fixed | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if int((fixed | dict(headers))["Content-Length"]) != len(body):
            self.close_connection = True


@contextmanager
def serving(spoil: Callable[[int, int, Answer], Answer | None]) -> Iterator[Ranges]:
    server = Ranges(spoil)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="test-ranges")
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def as_it_is(start: int, end: int, answer: Answer) -> Answer:
    return answer


def fetched(server: Ranges, folder: Path, patience: Patience = EAGER, **how: int) -> list[Event]:
    told: list[Event] = []
    plan = fetch.plan(manifest_of(file_of(DATA, addresses=(server.url,))), folder)
    (path,) = fetch.files(plan, patience=patience, progress=told.append, **how)
    assert path.read_bytes() == DATA
    assert not list(folder.glob("*.part*"))
    return told


def test_a_slow_file_comes_over_several_connections(folder: Path) -> None:
    with serving(as_it_is) as server:
        fetched(server, folder)
        asked = sorted(server.closed)
        assert len(server.open) == 1 and len(asked) > 4
        assert all(one[1] == next[0] for one, next in pairwise(asked))
        assert asked[-1][1] == len(DATA), "every byte of the rest was asked for once"


def test_one_connection_stays_alone_where_it_is_fast_or_told_to(folder: Path) -> None:
    with serving(as_it_is) as server:
        fetched(server, folder, Patience(pause_s=0))
        assert (server.open, server.closed) == ([0], [])


def test_a_second_connection_that_brings_nothing_is_given_up(folder: Path) -> None:
    with serving(as_it_is) as server:
        fetched(server, folder, Patience(pause_s=0, alone_s=0, left_s=0, gain=1e12))
        assert server.closed and len(server.open) == 2, "the rest came over one connection again"


def test_one_connection_is_all_where_only_one_is_allowed(folder: Path) -> None:
    with serving(as_it_is) as server:
        fetched(server, folder, connections=1)
        assert (server.open, server.closed) == ([0], [])


def test_a_part_of_a_killed_process_goes_on_side_by_side(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "a.bin.part").write_bytes(DATA[:1_000_001])
    with serving(as_it_is) as server:
        fetched(server, folder)
        assert server.open == [1_000_001] and server.closed


def _second_half(answer: Callable[[int, int], Answer | None]) -> Callable[..., Answer | None]:
    """Good ranges first, then another answer: what came before must not be lost or mixed."""
    return lambda start, end, good: answer(start, end) if start > len(DATA) // 2 else good


def _named(start: int, end: int, total: int = len(DATA)) -> dict[str, str]:
    return {"Content-Range": f"bytes {start}-{end - 1}/{total}"}


MULTIPART = b"--x\r\nContent-Range: bytes 0-9/6000000\r\n\r\n0123456789\r\n--x--"
WRONG: dict[str, Callable[[int, int], Answer | None]] = {
    "the whole file": lambda start, end: (200, {}, DATA),
    "another offset": lambda start, end: (206, _named(0, end - start), DATA[: end - start]),
    "the wrong bytes": lambda start, end: (206, _named(start, end), OTHER[start:end]),
    "another total": lambda start, end: (206, _named(start, end, 7_000_000), DATA[start:end]),
    "no total": lambda start, end: (
        206,
        {"Content-Range": f"bytes {start}-{end - 1}/*"},
        DATA[start:end],
    ),
    "no Content-Range": lambda start, end: (206, {}, DATA[start:end]),
    "multipart": lambda start, end: (
        206,
        {"Content-Type": "multipart/byteranges; boundary=x"},
        MULTIPART,
    ),
    "a shorter range": lambda start, end: (206, _named(start, end - 9), DATA[start : end - 9]),
    "more than the range": lambda start, end: (206, _named(start, end), DATA[start : end + 9]),
    "less than it says": lambda start, end: (
        206,
        _named(start, end) | {"Content-Length": str(end - start)},
        DATA[start : end - 9],
    ),
    "another ETag": lambda start, end: (206, _named(start, end) | {"ETag": '"2"'}, OTHER),
    "encoded": lambda start, end: (206, _named(start, end) | {"Content-Encoding": "br"}, b"x"),
    "416": lambda start, end: (416, {"Content-Range": f"bytes */{len(DATA)}"}, b""),
    "404": lambda start, end: (404, {}, b"gone"),
    "429": lambda start, end: (429, {"Retry-After": "0"}, b""),
    "503": lambda start, end: (503, {}, b""),
    "a page": lambda start, end: (200, {"Content-Type": "text/html"}, b"<html>busy</html>"),
    "a redirect to a file": lambda start, end: (302, {"Location": "file:///etc/passwd"}, b""),
    "nothing": lambda start, end: None,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_whatever_a_range_gives_the_file_comes_right(wrong: str, folder: Path) -> None:
    with serving(_second_half(WRONG[wrong])) as server:
        fetched(server, folder)
        assert len(server.open) > 1, "one connection went on"
        if wrong != "the wrong bytes":
            assert server.open[1] > 0, "from where the others were"


def test_a_lane_that_breaks_at_times_does_not_end_the_others(folder: Path) -> None:
    broken: set[int] = set()

    def breaks_once(start: int, end: int, answer: Answer) -> Answer | None:
        if len(broken) < 2 and start > len(DATA) // 3:
            broken.add(start)
            return WRONG["less than it says"](start, end)
        return answer

    with serving(breaks_once) as server:
        told = fetched(server, folder)
        assert any("trying again" in event.message for event in told)


CHILD = """
import pickle, sys
from dsets import fetch
manifest, folder, patience = pickle.load(sys.stdin.buffer)
fetch.files(fetch.plan(manifest, folder), patience=patience, accept_terms=True)
"""


def test_kill_9_side_by_side_leaves_a_beginning_that_goes_on(folder: Path) -> None:
    asked, over = threading.Semaphore(0), threading.Event()

    def holds_on(start: int, end: int, answer: Answer) -> Answer:
        if start > len(DATA) // 2 and not over.is_set():
            asked.release()
            over.wait(60)
        return answer

    with serving(holds_on) as server:
        manifest = manifest_of(file_of(DATA, addresses=(server.url,)))
        child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE)
        assert child.stdin
        child.stdin.write(pickle.dumps((manifest, folder, EAGER)))
        child.stdin.close()
        assert asked.acquire(timeout=60) and asked.acquire(timeout=60), "two wait beyond the half"
        child.kill()
        child.wait()
        over.set()
        left = (folder / "a.bin.part").read_bytes()
        assert 0 < len(left) < len(DATA) and left == DATA[: len(left)]
        fetched(server, folder)
        assert server.open == [0, len(left)]
