"""Sessions that the files of one job, or of one remote pack, lend to each other.

A connection that stays open saves the next file its handshakes: three ways to the server and back
where it is encrypted. But a server that sends more than an answer, and late, makes the rest look
like the next one: only what has a digest may come by a connection that another file came by.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsets.fetch.connection import Session

IDLE_S = 2.0  # servers close what is idle after some seconds, and some routers forget it


class Sessions:
    """Each is used by one thread at a time. For any threads; a forked child makes its own."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._idle: list[tuple[float, Session]] = []

    @contextmanager
    def one(self, *, fresh: bool = False) -> Iterator[Session]:
        """A session until the block ends; ``fresh``: without a connection that was used before."""
        from dsets.fetch.connection import session  # requests loads when it is needed

        found = (None if fresh else self._take()) or session()
        kept = False
        try:
            yield found
            kept = True
        finally:
            if kept and self._process == os.getpid():
                found.cookies.clear()
                self._idle.append((time.monotonic(), found))
                self._forget_old()
            else:
                found.close()

    def _take(self) -> Session | None:
        if self._process != os.getpid():
            self._idle, self._process = [], os.getpid()
        while True:
            try:
                since, found = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since <= IDLE_S:
                return found
            found.close()

    def _forget_old(self) -> None:
        """Close those that were given back long ago; the last one was just now."""
        with suppress(IndexError):  # another thread was faster
            while time.monotonic() - self._idle[0][0] > IDLE_S:
                self._idle.pop(0)[1].close()

    def close(self) -> None:
        """Close what nobody uses now; it may be used again."""
        while True:
            try:
                self._idle.pop()[1].close()
            except IndexError:
                return
