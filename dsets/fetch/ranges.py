"""Bytes of a file that stays where it is: ranges of it, asked for by many threads at once.

    with Remote(address, file, patience, stop) as remote:
        remote.size
        remote.read(offset, size, "what it is")

A server that answers a range with the whole file is refused by its headers, before the body: of an
archive of 18 GB that is the point. What is read is of one state of the file: size and, where there
is one, strong validator are those of the first answer, asked for with If-Range ever after.
"""

from __future__ import annotations

import os
import random
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dsets.closing import Closing
from dsets.errors import DataError
from dsets.fetch import answers
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.side_by_side import Lanes
from dsets.fetch.sources import local, printable, shown
from dsets.fetch.stop import Stop, Stopped
from dsets.fetch.wire import AGAIN, Patience, Wire, ask, flowing
from dsets.manifest import File

if TYPE_CHECKING:
    from requests import Response, Session

REMEDY = "give the same command again, or name another mirror (--mirror)"
T = TypeVar("T")
LARGEST = 1 << 30  # bytes of one range: they are held in memory


class Remote(Closing):
    """A file at an address of http, https or file. Any number of threads may read.

    ``requests`` were sent, and ``received`` bytes of bodies came, for this object. A published size
    binds; ``file.bytes`` of None is learned from the first answer.
    """

    def __init__(
        self,
        address: str,
        file: File,
        patience: Patience,
        stop: Stop,
        told: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Raises Refused or Cut where the address gives no ranges of such a file, and Stopped."""
        self.requests = 0
        self.received = 0
        self._address = address
        self._patience = patience
        self._stop = stop
        self._told = told
        self._count = threading.Lock()
        self._own = threading.local()
        self._sessions: list[Session] = []
        self._descriptor: int | None = None
        self._validator: str | None = None
        self._etag: str | None = None
        if (path := local(address)) is not None:
            self.size = self._open(path, file)
        elif address.partition("://")[0].lower() not in ("http", "https"):
            raise Refused("is not an address of http, https or file")
        else:
            self.size = -1
            try:
                self.size = self._learn(file)
            except BaseException:
                self.close()
                raise

    def read(self, offset: int, size: int, what: str = "") -> bytes:
        """``size`` bytes at ``offset``; what a cut leaves is asked for again.

        Raises:
            Refused: the address gives something else, such as the whole file or another state.
            Cut: it failed too often.
            DataError: the file ends before.
        """
        if not 0 <= offset <= offset + size <= self.size or size > LARGEST:
            raise self.error(
                f"cut short in {what}" if what else "cut short",
                expected=f"{size:,} bytes at {offset:,}",
                got=f"a file of {self.size:,}",
            )
        if self._descriptor is not None:
            data = os.pread(self._descriptor, size, offset)
            if len(data) != size:
                raise Refused("was shortened while it was read")
            return data
        return self._ranged(offset, size) if size else b""

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        """A DataError about this file, for the caller to raise."""
        where = shown(self._address)
        return DataError(what, where=where, expected=expected, got=got, remedy=REMEDY)

    def close(self) -> None:
        """End every connection."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        while self._sessions:
            self._sessions.pop().close()

    def _open(self, path: Path, file: File) -> int:
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe or a device would block
                raise Refused("is not a file")
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Refused("no such file") from None
        except PermissionError:
            raise Refused("may not be read") from None
        size = os.fstat(self._descriptor).st_size
        try:
            answers.check_length(file, size)
        except Refused:
            self.close()
            raise
        return size

    def _learn(self, file: File) -> int:
        """The file's size, by asking for its last byte, or its first where none is published."""
        last = max((file.bytes or 1) - 1, 0)
        wire = self._wire()

        def once() -> int:
            with (
                self._answer(last, last + 1, wire) as response,
                self._stop.breaking(response),
                flowing(response, wire, lambda: 0),
            ):
                total = _total(response.headers)
                if response.status_code == 416:
                    if total >= 0:
                        answers.check_length(file, total)
                    raise Refused("has no range of the file")
                self._check(response, last, last + 1)
                answers.check_length(file, total)
                self._validator = answers.validator(response.headers)
                self._etag = response.headers.get("ETag")
                self._end(response, len(self._body(response, 1)), 1)
                return total

        return self._insist(once)

    def _ranged(self, offset: int, size: int) -> bytes:
        data = bytearray()
        wire = self._wire()

        def once() -> None:
            start, end = offset + len(data), offset + size
            with (
                self._answer(start, end, wire) as response,
                self._stop.breaking(response),
                flowing(response, wire, lambda: len(data)) as flow,
            ):
                self._check(response, start, end)
                while len(data) < size and (piece := self._body(response, size - len(data))):
                    data.extend(piece)
                    flow.received += len(piece)
                self._end(response, len(data), size)

        self._insist(once, lambda: len(data))
        return bytes(data)

    def _insist(self, once: Callable[[], T], reached: Callable[[], int] = lambda: 0) -> T:
        """Come back until it works; a try that brought some 64 KiB was no failure."""
        failures, before = 0, reached()
        while True:
            try:
                return once()
            except Cut as cut:
                self._stop.check()
                much = reached() - before >= self._patience.slow_bytes
                failures, before = 1 if much else failures + 1, reached()
                if failures >= self._patience.tries:
                    raise
                pause = self._patience.pause(failures, cut.retry_after, random.random())
                self._told(f"{shown(self._address)}: {cut}; trying again in {pause:.1f} s")
                self._stop.wait(pause)

    def _answer(self, start: int, end: int, wire: Wire) -> Response:
        headers = {"Range": f"bytes={start}-{end - 1}"}
        if self._validator:
            headers["If-Range"] = self._validator
        with self._count:
            self.requests += 1
        return ask(self._address, headers, wire)

    def _check(self, response: Response, start: int, end: int) -> None:
        """Refuse what is not the range, by the head of the answer alone."""
        status, headers = response.status_code, response.headers
        if status in AGAIN:
            wait = answers.retry_after(headers.get("Retry-After"))
            raise Cut(f"answered {status} {printable(response.reason or '')}".rstrip(), wait)
        if status == 200:
            etag = headers.get("ETag")
            if self._validator and etag is not None and etag != self._etag:
                raise Refused("the file changed there while it was read")
            raise Refused("answers a range with the whole file; not downloaded")
        if status == 416 and self.size >= 0:
            raise Refused("the file changed there while it was read")
        if status != 206:
            raise Refused(answers.refusal(status, response.reason or ""))
        moved = self._etag is not None and headers.get("ETag", self._etag) != self._etag
        if self.size >= 0 and (moved or _total(headers) not in (-1, self.size)):
            raise Refused("the file changed there while it was read")
        if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise Refused("sent a range encoded")
        answers.check_span(start, end, _total(headers) if self.size < 0 else self.size, headers)

    def _body(self, response: Response, limit: int) -> bytes:
        """Whatever has arrived, never much more than was asked for."""
        data: bytes = response.raw.read1(min(limit, 1 << 20) + 1, decode_content=False)
        with self._count:
            self.received += len(data)
        return data

    def _end(self, response: Response, came: int, size: int) -> None:
        """Give the connection back for the next range, once the whole answer was as asked for."""
        if came < size:
            self._stop.check()
            raise Cut(f"the answer ended after {came} of {size} bytes")
        if came > size or self._body(response, 0):
            raise Refused("sends more than was asked for")
        response.raw.release_conn()

    def _wire(self) -> Wire:
        return Wire(self._session(), self._patience, self._stop, lambda: None, Lanes())

    def _session(self) -> Session:
        """This thread's own: its connection stays open from one range to the next."""
        found: Session | None = getattr(self._own, "session", None)
        if found is None:
            from dsets.fetch.connection import session

            found = self._own.session = session()
            with self._count:
                self._sessions.append(found)
        return found


def _total(headers: Mapping[str, str]) -> int:
    """The whole file's size by Content-Range; -1, which no range is of, where it does not say."""
    total = headers.get("Content-Range", "").rpartition("/")[2].strip()
    return int(total) if total.isascii() and total.isdigit() and len(total) < 20 else -1


__all__ = ["LARGEST", "REMEDY", "Cut", "Refused", "Remote", "Stopped"]
