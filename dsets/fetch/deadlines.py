"""What is to happen when time is up, unless it is called off first: one thread for all of it.

A thread for each request would be started and joined for each, on cores that are busy.
"""

from __future__ import annotations

import heapq
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

#: Called when time is up; must not block. It gives seconds until it is to be called again, or None.
Act = Callable[[], float | None]


class Deadlines:
    """The thread starts with the first deadline, and ends when none is left."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._heap: list[tuple[float, int]] = []
        self._acts: dict[int, Act] = {}
        self._acting: int | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float, act: Act) -> Iterator[None]:
        """``act`` is called in ``seconds``, unless the block has ended; never after it has."""
        number = next(self._numbers)
        try:
            self._add(number, seconds, act)
            yield
        finally:
            with self._changed:
                self._acts.pop(number, None)
                if not self._acts:
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._acting != number)

    def _add(self, number: int, seconds: float, act: Act) -> None:
        with self._changed:
            self._acts[number] = act
            heapq.heappush(self._heap, (time.monotonic() + seconds, number))
            if self._thread is None:
                name = "dsets-fetch-deadlines"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                thread.start()  # where the system starts no more, the next one tries again
                self._thread = thread
            elif self._heap[0][1] == number:  # sooner than what the thread waits for
                self._changed.notify_all()

    def _run(self) -> None:
        with self._changed:
            while self._acts:
                self._step()
            self._heap.clear()
            self._thread = None

    def _step(self) -> None:
        """Wait until something changes, or the first time is up."""
        if not self._heap:  # all have been called, and their blocks go on
            self._changed.wait()
            return
        when, number = self._heap[0]
        left = when - time.monotonic()
        if number in self._acts and left > 0:
            self._changed.wait(min(left, threading.TIMEOUT_MAX))
            return
        heapq.heappop(self._heap)
        if number in self._acts:
            self._call(number)

    def _call(self, number: int) -> None:
        """Without the lock, which ``act`` would keep from all that begin and end. What it raises is
        told as of any thread, and the others still have their turns."""
        self._acting, act, again = number, self._acts[number], None
        self._changed.release()
        try:
            again = act()
        except Exception:
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), None)))
        finally:
            self._changed.acquire()
            self._acting = None
            self._changed.notify_all()
        if again is not None and number in self._acts:
            heapq.heappush(self._heap, (time.monotonic() + again, number))


_all = Deadlines()


def within(seconds: float, act: Act) -> AbstractContextManager[None]:
    """As ``Deadlines.within``, by the thread of this process."""
    return _all.within(seconds, act)


def _renew() -> None:
    global _all
    _all = Deadlines()  # the thread stayed with the parent


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
