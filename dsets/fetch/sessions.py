"""Sessions that the files of one job, or of one remote pack, lend to each other.

A connection that stays open saves the next file its handshakes: three ways to the server and back
where it is encrypted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests import Session

IDLE_S = 5.0  # a connection idle for longer may be dead without a word: some routers forget them


class Sessions:
    """Each is used by one thread at a time. For any threads; a forked child makes its own."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._idle: list[tuple[float, Session]] = []

    @contextmanager
    def one(self) -> Iterator[Session]:
        """A session until the block ends."""
        from dsets.fetch.connection import session  # requests loads when it is needed

        found = self._take() or session()
        kept = False
        try:
            yield found
            kept = True
        finally:
            if kept and self._process == os.getpid():
                found.cookies.clear()
                self._idle.append((time.monotonic(), found))
            else:
                found.close()

    def _take(self) -> Session | None:
        if self._process != os.getpid():
            self._process, self._idle = os.getpid(), []
        while True:
            try:
                since, found = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since <= IDLE_S:
                return found
            found.close()

    def close(self) -> None:
        """Close what nobody uses now; it may be used again."""
        while True:
            try:
                self._idle.pop()[1].close()
            except IndexError:
                return
