"""Small files that lie one by one below an address, asked for by many threads at once."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from dsets.fetch import answers
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.asking import Asking, Spent
from dsets.fetch.sources import local, printable
from dsets.fetch.stop import Stop
from dsets.fetch.wire import AGAIN, Patience, ask, flowing

GONE = (403, 404, 410)  # a bucket that may not be listed answers 403 for what it does not have


class Absent(Exception):
    """The place does not have this one file; it may have the others."""


class Folder(Asking):
    """A folder at an address of http, https or file, whose files have no published digest."""

    def __init__(
        self,
        address: str,
        patience: Patience,
        stop: Stop,
        told: Callable[[str], None] = lambda message: None,
        spent: Spent | None = None,
    ) -> None:
        """Raises Refused for any other address."""
        super().__init__(address.rstrip("/"), patience, stop, told, spent)
        if address.partition("://")[0].lower() not in ("http", "https", "file"):
            raise Refused("is not an address of http, https or file")

    def read(self, name: str, limit: int) -> bytes:
        """The whole file, of at most ``limit`` bytes.

        Raises:
            Absent: it is not there, or larger.
            Refused: the address gives something else.
            Cut: it failed too often.
        """
        address = f"{self._address}/{quote(name)}"
        if (path := local(address)) is not None:
            try:
                with path.open("rb") as file:
                    data = file.read(limit + 1)
            except OSError:
                raise Absent from None
            if len(data) > limit:
                raise Absent
            return data
        return self._insist(lambda: self._whole(address, limit))

    def _whole(self, address: str, limit: int) -> bytes:
        wire, data = self._wire(), bytearray()
        self._asked()
        with (
            ask(address, {}, wire) as response,
            self._stop.breaking(response),
            flowing(response, wire, lambda: len(data)) as flow,
        ):
            status, headers = response.status_code, response.headers
            if status in AGAIN:
                wait = answers.retry_after(headers.get("Retry-After"))
                raise Cut(f"answered {status} {printable(response.reason or '')}".rstrip(), wait)
            if status in GONE:
                raise Absent
            if status != 200:
                raise Refused(answers.refusal(status, response.reason or ""))
            if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
                raise Refused("sent a file encoded")
            size = answers.length(headers)
            if size is not None and size > limit:
                raise Absent
            while len(data) <= limit and (piece := self._body(response, limit - len(data))):
                data.extend(piece)
                flow.received += len(piece)
            if len(data) > limit:
                raise Absent
            self._end(response, len(data), len(data) if size is None else size)
        return bytes(data)
