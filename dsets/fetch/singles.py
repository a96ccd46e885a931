"""Small files that lie one by one below an address, asked for by many threads at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

from dsets.fetch import answers, checksums
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.asking import Asking, Spent
from dsets.fetch.sources import local, printable
from dsets.fetch.stop import Stop
from dsets.fetch.wire import AGAIN, Patience, ask, flowing

GONE = (403, 404, 410)  # a bucket that may not be listed answers 403 for what it does not have
TRIES = 3  # of what is not as its checksum says


class Absent(Exception):
    """The place does not have this one file; it may have the others."""


class Spoilt(Exception):
    """The bytes that came, again and again, are not those that the place's checksum is of."""


class Folder(Asking):
    """A folder at an address of http, https or file, whose files have no published digest.

    What the host says of each file's bytes is held against them (``checksums``). An ETag counts as
    MD5 where the host is known to make it so, or has, of a file that came before.
    """

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
        self._tagged = False
        if address.partition("://")[0].lower() not in ("http", "https", "file"):
            raise Refused("is not an address of http, https or file")

    def read(
        self, name: str, limit: int, whole: Callable[[bytes], bool] = lambda data: True
    ) -> bytes:
        """The whole file, of at most ``limit`` bytes.

        ``whole`` says of a body that came without a length and without a checksum whether it was
        cut; one that seems so is asked for again, and given as it is after TRIES times.

        Raises:
            Absent: it is not there, or larger.
            Spoilt: it came TRIES times as something else than the host's checksum is of.
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
        for _ in range(TRIES):
            data, good = self._insist(lambda: self._whole(address, limit))
            if good or (good is None and whole(data)):
                return data
        if good is None:
            return data
        raise Spoilt

    def _whole(self, address: str, limit: int) -> tuple[bytes, bool | None]:
        """The file, and whether it is what the host says of it; None where it says nothing, not
        even where the body ends."""
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
        good = self._good(headers, data)
        return bytes(data), answers.tells_end(headers) or None if good is None else good

    def _good(self, headers: Mapping[str, str], data: bytearray) -> bool | None:
        """Whether the host's checksums are of these bytes; None where there are none."""
        proved = None
        tag = checksums.tag(headers)
        if tag and checksums.digest("md5", data) == tag[0]:
            self._tagged = proved = True
        elif tag and (tag[1] or self._tagged):
            return False
        for name, sum in checksums.published(headers):
            if checksums.digest(name, data) != sum:
                return False
            proved = True
        return proved
