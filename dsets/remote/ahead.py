"""Threads that fetch the shards of a remote pack before a stream needs them, in its order."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dsets.errors import DsetsError, FetchError
from dsets.fetch import crew, shown
from dsets.fetch.stop import Stop, Stopped
from dsets.remote import region

if TYPE_CHECKING:
    from dsets.remote.pack import RemotePack

THREADS = 4
AGAIN_S = 2.0  # before a shard that a silent server did not give is fetched early again
LOOK_S = 0.5  # between two looks of an idle thread at whether another process needs room
#: A shard → when it is needed next, in rows of the stream.
NextUse = Callable[[int], int]
NEVER = sys.maxsize


class _Shared:
    """What the threads know; never the ``Ahead`` itself, so that dropping it ends them."""

    def __init__(self, pack: RemotePack) -> None:
        self.pack = pack
        self.waiting: deque[int] = deque()
        self.changed = threading.Condition()
        self.stop = Stop()
        self.closed = False
        self.counted = True
        self.process = os.getpid()
        self.threads: list[threading.Thread] = []
        #: Shard → the rows of the stream that need it, int64 (m,), rising; rows from 0.
        self.uses: dict[int, npt.NDArray[np.int64]] = {}
        self.told = 0
        self.delivered = 0

    def expect(self, numbers: npt.NDArray[np.int64]) -> None:
        """These samples are wanted soon, in this order, after those told before."""
        found = np.searchsorted(self.pack.starts, numbers, side="right") - 1
        _, first = np.unique(found, return_index=True)
        rows = np.argsort(found, kind="stable")
        ends = np.flatnonzero(np.diff(found[rows])) + 1
        with self.changed:
            self.uses = {one: at for one, at in self.uses.items() if at[-1] >= self.delivered}
            for part in np.split(rows, ends):
                shard = int(found[part[0]])
                before = self.uses.get(shard, part[:0])
                self.uses[shard] = np.append(before, part + self.told)
            self.told += len(numbers)
            known = set(self.waiting)
            self.waiting += [one for one in found[np.sort(first)].tolist() if one not in known]
            self.changed.notify_all()

    def passed(self, rows: int) -> None:
        """So many rows more were delivered."""
        self.delivered += rows

    def next_use(self, shard: int) -> int:
        uses = self.uses.get(shard)
        if uses is None:
            return NEVER
        place = int(np.searchsorted(uses, self.delivered))
        return int(uses[place]) if place < len(uses) else NEVER

    def interrupt(self) -> bool:
        """Nothing is fetched any more: who fetches or waits for a shard gets ``Stopped``.

        False where that must not be waited for: the threads see to the rest themselves.
        """
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self.stop.call()
        if region.inside():
            return False
        self.pack.forget_early()
        return True

    def retire(self) -> None:
        """Keep nothing that was fetched early, and count as a stream no more."""
        with self.changed:
            counted, self.counted = self.counted, False
        if counted:
            self.pack.streamed(-1)
        self.pack.forget_early()

    def next(self) -> int | None:
        """The shard to fetch next; waits for it, and meanwhile gives way to other processes."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.closed or self.waiting, LOOK_S)
                if self.closed:
                    return None
                if self.waiting:
                    return self.waiting.popleft()
            self.pack.give_way()

    def put_back(self, shard: int) -> None:
        """The server does not answer now: the shard keeps its turn. Meanwhile who needs it at once
        may ask for it, and have its place."""
        with self.changed:
            self.waiting.appendleft(shard)
        self.stop.wait(AGAIN_S)


def _run(shared: _Shared) -> None:
    """A thread's life. What fails here fails again, and is told, where the shard is needed."""
    try:
        while (shard := shared.next()) is not None:
            try:
                shared.pack.arrivals.bring_early(shard, shared.stop, shared.next_use)
            except DsetsError as error:
                if isinstance(error, FetchError) and error.again:
                    shared.put_back(shard)
    except Stopped:
        pass
    finally:
        shared.retire()  # whoever closed this may not have waited


def _close(shared: _Shared) -> None:
    """End the threads, and wait until they have; a finaliser may call this in any thread."""
    if shared.process != os.getpid() or not shared.interrupt():
        return
    if threading.current_thread() not in shared.threads:
        deadline = time.monotonic() + crew.GRACE_S  # a server that says nothing at all wakes nobody
        for thread in shared.threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
    shared.retire()


class Ahead:
    """Fetches what it is told to ``expect``, until it is closed or dropped."""

    def __init__(self, pack: RemotePack) -> None:
        shared = _Shared(pack)
        pack.streamed(1)
        self.address = shown(pack.address)
        #: What the cache may hold, in bytes, if it has a limit.
        self.limit = pack.limit
        self.expect = shared.expect
        self.passed = shared.passed
        self.next_use = shared.next_use
        self.interrupt = shared.interrupt
        self.stop = shared.stop
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
