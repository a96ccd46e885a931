"""Servers that write whatever bytes they like: a right file, or one error that names it."""

from __future__ import annotations

import gzip
import hashlib
import re
import socketserver
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dsets import fetch
from dsets.errors import FetchError
from dsets.fetch import Patience
from tests.fetch.conftest import file_of, manifest_of
from tests.server import trickling

DATA = hashlib.shake_128(b"hostile").digest(400_000)
HALF = len(DATA) // 2
OK = b"HTTP/1.1 200 OK\r\n"
PART = b"HTTP/1.1 206 Partial Content\r\n"
FLOOD = 200_000  # interim answers or headers: far more than anybody needs
PATIENCE = Patience(connect_s=5, read_s=1, pause_s=0, tries=3, slow_s=2, slow_bytes=1000)
#: Number of the request, first byte asked for, a way to send → nothing; the connection then ends.
Behaviour = Callable[[int, int, Callable[[bytes], None]], None]


def length(count: int) -> bytes:
    return b"Content-Length: %d\r\n" % count


def span(start: int, total: int = len(DATA)) -> bytes:
    return b"Content-Range: bytes %d-%d/%d\r\n" % (start, len(DATA) - 1, total)


def good(start: int = 0) -> bytes:
    if not start:
        return OK + length(len(DATA)) + b'ETag: "1"\r\n\r\n' + DATA
    return PART + span(start) + length(len(DATA) - start) + b'ETag: "1"\r\n\r\n' + DATA[start:]


def chunks(data: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    pieces = [data[at : at + 50_000] for at in range(0, len(data), 50_000)]
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + last


def cut(answer: bytes) -> bytes:
    """The first half of the body only."""
    return answer[: answer.index(b"\r\n\r\n") + 4 + HALF]


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"
BOMB = gzip.compress(bytes(64 << 20))


def always(answer: bytes) -> Behaviour:
    return lambda number, start, send: send(answer)


def after_half(rest: Callable[[int], bytes]) -> Behaviour:
    """Half the file and a cut; then what ``rest`` makes of the range that is asked for."""

    def behave(number: int, start: int, send: Callable[[bytes], None]) -> None:
        send(cut(good()) if number == 0 else rest(start))

    return behave


def endless(first: bytes, more: bytes) -> Behaviour:
    def behave(number: int, start: int, send: Callable[[bytes], None]) -> None:
        send(first)
        while True:
            send(more)

    return behave


RIGHT: dict[str, Behaviour] = {
    "chunked, and true": always(CHUNKED + b"\r\n" + chunks(DATA)),
    "chunked with trailers that lie": always(
        CHUNKED
        + b"Trailer: Content-Length\r\n\r\n"
        + chunks(DATA, b"0\r\nContent-Length: 7\r\nContent-MD5: no\r\n\r\n")
    ),
    "chunk extensions": always(
        CHUNKED + b"\r\n" + chunks(DATA).replace(b"c350\r\n", b"c350;x=y\r\n")
    ),
    "both chunked and a length": always(CHUNKED + length(7) + b"\r\n" + chunks(DATA)),
    "a few interim answers": always(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 5 + good()),
    "garbage behind the body": always(good() + b"garbage" * 1000),
    "a chunk without end, the whole file in it": always(
        CHUNKED + b"\r\nffffffffffffffffffffff\r\n" + DATA
    ),
    "HTTP/1.0 without a length": always(b"HTTP/1.0 200 OK\r\n\r\n" + DATA),
    "headers folded and odd": always(
        OK + length(len(DATA)) + b"X-Odd: \xff\xfe\r\nX-Fold: a\r\n b\r\n\r\n" + DATA
    ),
    "gzip nobody asked for": always(
        OK
        + b"Content-Encoding: gzip\r\n"
        + length(len(gzip.compress(DATA)))
        + b"\r\n"
        + gzip.compress(DATA)
    ),
    "deflate nobody asked for": always(
        OK + b"Content-Encoding: deflate\r\nConnection: close\r\n\r\n" + zlib.compress(DATA)
    ),
    "the whole file after a cut": after_half(lambda start: good()),
    "206 after a cut": after_half(good),
    "206 with a weak ETag": after_half(
        lambda start: good() if not start else good(start).replace(b'ETag: "1"', b'ETag: W/"1"')
    ),
    "206 with another ETag": after_half(
        lambda start: good() if not start else good(start).replace(b'ETag: "1"', b'ETag: "2"')
    ),
    "206 with more than it names": after_half(
        lambda start: PART + span(start) + b"Connection: close\r\n\r\n" + DATA[start:]
    ),
    "416 although there is more": after_half(
        lambda start: (
            good()
            if not start
            else b"HTTP/1.1 416 No\r\nContent-Range: bytes */7\r\nContent-Length: 0\r\n\r\n"
        )
    ),
    "a reset after the head, once": lambda number, start, send: send(
        good() if number else OK + length(len(DATA)) + b"\r\n"
    ),
    "nothing at all, once": lambda number, start, send: send(good() if number else b""),
    "408, then the file": lambda number, start, send: send(
        good() if number else b"HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n"
    ),
    "503 and a date that is past": lambda number, start, send: send(
        good()
        if number
        else b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n"
        b"Retry-After: Fri, 01 Jan 1999 00:00:00 GMT\r\n\r\n"
    ),
    "503 and nonsense to wait for": lambda number, start, send: send(
        good() if number else b"HTTP/1.1 503 No\r\nRetry-After: -1e99\r\nContent-Length: 0\r\n\r\n"
    ),
}
WRONG: dict[str, Behaviour] = {
    "a shorter file that says so": always(OK + length(HALF) + b"\r\n" + DATA[:HALF]),
    "a longer file that says so": always(OK + length(len(DATA) + 9) + b"\r\n" + DATA + bytes(9)),
    "a longer file that does not say so": always(OK + b"\r\n" + DATA + bytes(9)),
    "a length below zero": always(OK + b"Content-Length: -1\r\n\r\n" + DATA[:HALF]),
    "a length that is no number": always(OK + b"Content-Length: 0x7\r\n\r\n" + DATA[:HALF]),
    "two lengths": always(OK + length(7) + length(len(DATA)) + b"\r\n" + DATA[:7]),
    "a length without end": always(OK + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n" + DATA[:7]),
    "multipart instead of a range": after_half(
        lambda start: (
            PART
            + b"Content-Type: multipart/byteranges; boundary=x\r\nConnection: close\r\n\r\n--x\r\n"
            + span(start)
            + b"\r\n"
            + DATA[start:]
            + b"\r\n--x--\r\n"
        )
    ),
    "a wrong total": after_half(
        lambda start: PART + span(start, 999) + length(9) + b"\r\n" + bytes(9)
    ),
    "206 that nobody asked for": always(
        PART + b"Content-Range: bytes 9-99/400000\r\n" + length(91) + b"\r\n" + bytes(91)
    ),
    "a bomb": always(OK + b"Content-Encoding: gzip\r\n" + length(len(BOMB)) + b"\r\n" + BOMB),
    "gzip that is none": always(OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + DATA),
    "an unknown encoding": always(
        OK + b"Content-Encoding: zstd, gzip\r\n" + length(9) + b"\r\n" + bytes(9)
    ),
    "a redirect to a file": always(b"HTTP/1.1 302 No\r\nLocation: file:///etc/passwd\r\n\r\n"),
    "a redirect to itself": always(
        b"HTTP/1.1 302 No\r\nLocation: /a.bin\r\nContent-Length: 0\r\n\r\n"
    ),
    "a redirect to nowhere": always(b"HTTP/1.1 302 No\r\nLocation: http://[::bad/\r\n\r\n"),
    "a redirect to nothing": always(b"HTTP/1.1 302 No\r\nContent-Length: 0\r\n\r\n"),
    "one huge header": always(OK + b"X-A: " + b"a" * FLOOD + b"\r\n\r\n" + DATA),
    "many headers": always(OK + b"X-A: 1\r\n" * FLOOD + b"\r\n" + DATA),
    "headers without end": endless(OK, b"X-A: 1\r\n" * 1000),
    "interim answers without end": endless(b"", b"HTTP/1.1 102 Wait\r\n\r\n" * 1000),
    "100 without end": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "a status line that is none": always(b"hello\r\n\r\n" + DATA),
    "another protocol": always(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "a chunk below zero": always(CHUNKED + b"\r\n-5\r\nhello\r\n"),
    "a chunk size that is none": always(CHUNKED + b"\r\nxyz\r\n" + DATA),
    "a chunk size without end": endless(CHUNKED + b"\r\n", b"0" * 1000),
    "a body without end": endless(OK + b"\r\n", bytes(50_000)),
    "204": always(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "304": always(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "a status beyond all": always(b"HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n"),
    "a page": always(OK + length(30) + b"\r\n" + b"<html><title>Log in</title>...."),
    "a page behind much space": always(
        OK + b"\r\n" + b" " * 300 + b"<!DOCTYPE html><html>" + bytes(99)
    ),
    "a reset after every head": always(OK + length(len(DATA)) + b"\r\n"),
    "the steering of a terminal": always(
        b"HTTP/1.1 403 \x1b[2J\x1b]0;x\x07\r\nContent-Length: 0\r\n\r\n"
    ),
}


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """The address of a server that behaves like this, resetting each connection in the end."""
    numbers = iter(range(1 << 30))

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                asked = b""
                while b"\r\n\r\n" not in asked:
                    if not (more := self.request.recv(65536)):
                        return
                    asked += more
                _, _, wanted = asked.lower().partition(b"range: bytes=")
                start = int(wanted.split(b"-")[0]) if wanted else 0
                behaviour(next(numbers), start, self.request.sendall)
                self.request.shutdown(1)
                while self.request.recv(65536):
                    pass

    class Plain(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Plain(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="test-hostile")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/a.bin"
        finally:
            server.shutdown()
            thread.join()


def get(folder: Path, *addresses: str) -> bytes:
    plan = fetch.plan(manifest_of(file_of(DATA, addresses=addresses)), folder)
    (path,) = fetch.files(plan, patience=PATIENCE)
    return path.read_bytes()


@pytest.mark.parametrize("name", RIGHT)
def test_what_can_be_made_right_is(name: str, folder: Path) -> None:
    with serving(RIGHT[name]) as address:
        assert get(folder, address) == DATA
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == ["a.bin"]


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_clear_error_and_the_next_address_serves(
    name: str, folder: Path
) -> None:
    with serving(WRONG[name]) as bad:
        with pytest.raises(FetchError) as caught:
            get(folder, bad)
        said = str(caught.value)
        assert "a.bin" in said and bad in said
        assert said.isprintable() and len(said) < 1000
        assert not re.search(r"[a-z]Error|Exception|[A-Z][a-z]+\(|_ssl|Errno", said)
        assert not (folder / "a.bin").exists()
        with serving(always(good())) as fine:
            # The part that is left is asked for from its end on, and this server begins anew.
            assert get(folder, bad, fine) == DATA


def test_a_connection_that_is_reset_by_force_is_a_cut(folder: Path) -> None:
    def behave(number: int, start: int, send: Callable[[bytes], None]) -> None:
        send(cut(good()) if number == 0 else good(start))
        if number == 0:
            socket = send.__self__  # type: ignore[attr-defined]
            socket.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: close sends a reset
            socket.close()

    with serving(behave) as address:
        assert get(folder, address) == DATA


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "the server hung up without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak HTTP"),
        (OK + b"X-A: " + b"a" * FLOOD, "a header of the answer has no end"),
        (OK + b"X-A: 1\r\n" * FLOOD, "an answer that cannot be read: got more than 100 headers"),
        (OK + length(7) + length(8) + b"\r\n", "headers that contradict each other"),
        (b"HTTP/1.1 302 No\r\nLocation: ftp://h/\r\n\r\n", "neither http nor https"),
    ],
)
def test_what_is_no_answer_is_told_in_plain_words(folder: Path, answer: bytes, words: str) -> None:
    with serving(always(answer)) as address, pytest.raises(FetchError) as caught:
        get(folder, address)
    assert words in str(caught.value)


def test_a_server_without_tls_and_a_name_nobody_knows_are_told_in_plain_words(
    folder: Path,
) -> None:
    with trickling(b"hello there\r\n") as address, pytest.raises(FetchError) as caught:
        get(folder, address.replace("http:", "https:"), "http://nobody.invalid/a.bin")
    assert "the server does not speak TLS there" in str(caught.value)
    assert "Errno" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "lasting"),
    [
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", True),
        (OK + length(len(DATA)) + b"\r\n" + DATA[::-1], True),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 503 No\r\nRetry-After: 9999\r\nContent-Length: 0\r\n\r\n", False),
        (cut(good()), False),
    ],
)
def test_trying_again_is_advised_where_it_may_help(
    folder: Path, answer: bytes, lasting: bool
) -> None:
    with serving(always(answer)) as address, pytest.raises(FetchError) as caught:
        get(folder, address)
    assert caught.value.again is not lasting
    assert ("another try will not help" in str(caught.value)) is lasting
    assert ("give the same command again" in str(caught.value)) is not lasting
