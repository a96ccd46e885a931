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
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dsets.errors import DataError
from dsets.fetch import answers
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.asking import Asking, Spent
from dsets.fetch.sources import local, printable, shown
from dsets.fetch.stop import Stop
from dsets.fetch.wire import AGAIN, Patience, Wire, ask, flowing
from dsets.manifest import File

if TYPE_CHECKING:
    from requests import Response

REMEDY = "give the same command again, or name another mirror (--mirror)"
LARGEST = 1 << 30  # bytes of one range: they are held in memory


class Remote(Asking):
    """A file at an address of http, https or file. Any number of threads may read.

    A published size binds; ``file.bytes`` of None is learned from the first answer.
    """

    def __init__(
        self,
        address: str,
        file: File,
        patience: Patience,
        stop: Stop,
        told: Callable[[str], None] = lambda message: None,
        spent: Spent | None = None,
    ) -> None:
        """Raises Refused or Cut where the address gives no ranges of such a file, and Stopped."""
        super().__init__(address, patience, stop, told, spent)
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
        super().close()

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

    def _answer(self, start: int, end: int, wire: Wire) -> Response:
        headers = {"Range": f"bytes={start}-{end - 1}"}
        if self._validator:
            headers["If-Range"] = self._validator
        self._asked()
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


def _total(headers: Mapping[str, str]) -> int:
    """The whole file's size by Content-Range; -1, which no range is of, where it does not say."""
    total = headers.get("Content-Range", "").rpartition("/")[2].strip()
    return int(total) if total.isascii() and total.isdigit() and len(total) < 20 else -1
