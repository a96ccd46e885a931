"""Threads that fetch the shards of a remote pack before a stream needs them, in its order."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dsets.errors import DsetsError
from dsets.fetch.stop import Stop, Stopped

if TYPE_CHECKING:
    from dsets.remote.pack import RemotePack

THREADS = 4


class _Shared:
    """What the threads know; never the ``Ahead`` itself, so that dropping it ends them."""

    def __init__(self, pack: RemotePack) -> None:
        self.pack = pack
        self.waiting: deque[int] = deque()
        self.changed = threading.Condition()
        self.stop = Stop()
        self.closed = False
        self.process = os.getpid()
        self.threads: list[threading.Thread] = []

    def expect(self, numbers: npt.NDArray[np.int64]) -> None:
        """These samples are wanted soon, in this order, after those told before."""
        found = np.searchsorted(self.pack.starts, numbers, side="right") - 1
        _, first = np.unique(found, return_index=True)
        with self.changed:
            known = set(self.waiting)
            self.waiting += [one for one in found[np.sort(first)].tolist() if one not in known]
            self.changed.notify_all()

    def next(self) -> int | None:
        with self.changed:
            self.changed.wait_for(lambda: self.closed or self.waiting)
            return None if self.closed else self.waiting.popleft()


def _run(shared: _Shared) -> None:
    """A thread's life. What fails here fails again, and is told, where the shard is needed."""
    while (shard := shared.next()) is not None:
        try:
            shared.pack.bring_early(shard, shared.stop)
        except Stopped:
            return
        except DsetsError:
            continue


def _close(shared: _Shared) -> None:
    if shared.process != os.getpid():
        return
    with shared.changed:
        shared.closed = True
        shared.changed.notify_all()
    shared.stop.call()
    shared.pack.forget_early()
    if threading.current_thread() not in shared.threads:
        for thread in shared.threads:
            thread.join()
    shared.pack.forget_early()


class Ahead:
    """Fetches what it is told to ``expect``, until it is closed or dropped."""

    def __init__(self, pack: RemotePack) -> None:
        shared = _Shared(pack)
        self.expect = shared.expect
        shared.threads = [
            threading.Thread(target=_run, args=(shared,), name=f"dsets-ahead-{n}", daemon=True)
            for n in range(THREADS)
        ]
        self._finalizer = weakref.finalize(self, _close, shared)
        for thread in shared.threads:
            thread.start()

    def close(self) -> None:
        """End the threads; what was fetched stays in the cache. Idempotent."""
        self._finalizer()
