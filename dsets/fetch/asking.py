"""Many small requests to one place: a session a thread, tries, and a count of what came."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from dsets.closing import Closing
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.side_by_side import Lanes
from dsets.fetch.sources import shown
from dsets.fetch.stop import Stop
from dsets.fetch.wire import Patience, Wire

if TYPE_CHECKING:
    from requests import Response

    from dsets.fetch.connection import Session

T = TypeVar("T")


@dataclass(slots=True)
class Spent:
    """``requests`` that were sent, and ``received`` bytes of bodies."""

    requests: int = 0
    received: int = 0


class Asking(Closing):
    """What it took is added to ``spent``, also where it failed."""

    def __init__(
        self,
        address: str,
        patience: Patience,
        stop: Stop,
        told: Callable[[str], None],
        spent: Spent | None,
    ) -> None:
        self.spent = spent or Spent()
        self._address = address
        self._patience = patience
        self._stop = stop
        self._told = told
        self._count = threading.Lock()
        self._own = threading.local()
        self._sessions: list[Session] = []

    def close(self) -> None:
        """End every connection."""
        while self._sessions:
            self._sessions.pop().close()

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

    def _asked(self) -> None:
        with self._count:
            self.spent.requests += 1

    def _body(self, response: Response, limit: int) -> bytes:
        """Whatever has arrived, never much more than was asked for."""
        data: bytes = response.raw.read1(min(limit, 1 << 20) + 1, decode_content=False)
        with self._count:
            self.spent.received += len(data)
        return data

    def _end(self, response: Response, came: int, size: int) -> None:
        """Give the connection back for the next request, once the whole answer was as it should.

        Raises:
            Cut: it ended early; Refused: it goes on.
        """
        if came < size:
            self._stop.check()
            raise Cut(f"the answer ended after {came} of {size} bytes")
        if came > size or self._body(response, 0):
            raise Refused("sends more than was asked for")
        response.raw.release_conn()

    def _wire(self) -> Wire:
        """This thread's own: its connection stays open from one request to the next."""
        found: Session | None = getattr(self._own, "session", None)
        if found is None:
            from dsets.fetch.connection import session

            found = self._own.session = session()
            with self._count:
                self._sessions.append(found)
        return Wire(found, self._patience, self._stop, lambda: None, Lanes())
