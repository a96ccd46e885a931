"""One switch that ends every transfer at once, also one that waits on a silent server."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests import Response


class Stopped(Exception):
    """The work was called off; what is here stays for the next time."""


class Stop:
    def __init__(self) -> None:
        self._called = threading.Event()
        self._lock = threading.RLock()  # a finaliser that calls may run where it is held
        self._wakes: list[Callable[[], None]] = []

    def call(self) -> None:
        """End everything: whoever checks or waits gets ``Stopped``, whoever reads a cut."""
        self._called.set()
        with self._lock:
            for wake in self._wakes:
                wake()

    @property
    def called(self) -> bool:
        return self._called.is_set()

    def check(self) -> None:
        if self._called.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        self._called.wait(seconds)
        self.check()

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """``call`` also calls ``wake``, which must not block, while the block runs."""
        with self._lock:
            self._wakes.append(wake)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._wakes.remove(wake)

    def breaking(self, response: Response) -> AbstractContextManager[None]:
        """``call`` breaks this response's connection while the block runs."""
        return self.waking(partial(shut, response.raw.fileno))

    @contextmanager
    def part(self) -> Iterator[Stop]:
        """A switch for a part of the work, which ``call`` of this one calls too."""
        part = Stop()
        with self.waking(part.call):
            yield part


def shut(descriptor: Callable[[], int]) -> None:
    """Break a connection, whoever reads from it, if it still has a descriptor."""
    # A blocked recv wakes by shutdown, not by close; the copy leaves the connection's own
    # descriptor to its owner. The response may have ended meanwhile and have none any more, which
    # http.client tells by an AttributeError of its own.
    with (
        suppress(OSError, ValueError, AttributeError),
        socket.socket(fileno=os.dup(descriptor())) as connection,
    ):
        connection.shutdown(socket.SHUT_RDWR)
