"""Which shards of a remote pack have a place in the cache, and who must give way to whom."""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence

from dsets.fetch.stop import Stop
from dsets.pack.schema import STATISTICS, Shard
from dsets.remote import region
from dsets.remote.ahead import LOOK_S, NEVER, NextUse
from dsets.remote.cache import Cache

WAIT_S = 0.1  # between two looks at what another thread or process does
OTHERS_S = 60.0  # what other processes get to let go of what they hold


#: All that there are in this process.
_all: set[weakref.ref[Places]] = set()


class Places:
    """The shards' places. Whoever calls a method holds ``changed``, unless it says otherwise."""

    def __init__(
        self, shards: Sequence[Shard], folder: str, cache: Cache, empty: Callable[[int], None]
    ) -> None:
        """``folder`` is the pack's in the cache; ``empty`` lets go of a shard's memory."""
        self._shards = shards
        self._folder = folder
        self._cache = cache
        self._empty = empty
        self.changed = region.Changed()  # guards all that follows
        #: How often each shard is held now.
        self.pins = [0] * len(shards)
        #: Shards whose file is in its place, the one not used for longest first.
        self.mapped: dict[int, None] = {}
        #: Shards fetched before anyone holds them; False while that is still going on.
        self.early: dict[int, bool] = {}
        #: How many streams run over the pack.
        self.streams = 0
        #: Whether all shards are held for good, for somebody's arrays.
        self.whole = False
        #: Held by the thread that fetches the file of this name.
        self.fetching = {name: threading.Lock() for name in (STATISTICS, *(s.name for s in shards))}
        _all.add(weakref.ref(self, _all.discard))

    @property
    def in_use(self) -> bool:
        """Whether any shard has a place, or is about to."""
        return bool(self.mapped or self.early or any(self.pins))

    def name(self, shard: int) -> str:
        """As the cache knows it."""
        return f"{self._folder}/{self._shards[shard].name}"

    def take(self, shard: int) -> bool:
        """A place in the cache for a shard. What gives way: idle maps of packs of this process
        over which no stream runs, then idle ones of our own, then early ones."""
        while not self._cache.take(self.name(shard), self._shards[shard].bytes):
            if self._neighbour_gave_way():
                continue
            idle = self._idle()
            ready = [other for other, done in self.early.items() if done]
            if idle:
                self.unmap(idle[0])
            elif ready:
                self.forget(ready[-1])
            else:
                return False
        return True

    def _neighbour_gave_way(self) -> bool:
        """Whether another pack of this process had a shard to let go of, and has. One that is busy
        is not waited for: it might wait for us."""
        for other in [known() for known in list(_all)]:
            if other is None or other is self or other._cache.root != self._cache.root:
                continue
            if not other.changed.acquire(blocking=False):
                continue
            try:
                idle = other._idle()
                if idle and not other.streams:
                    other.unmap(idle[0])
                    return True
            finally:
                other.changed.release()
        return False

    def leave(self, shard: int) -> None:
        self._cache.drop(self.name(shard))
        self.changed.notify_all()

    def unmap(self, shard: int) -> None:
        del self.mapped[shard]
        self._empty(shard)
        self.leave(shard)

    def unmap_idle(self) -> None:
        for shard in self._idle():
            self.unmap(shard)

    def _idle(self) -> list[int]:
        return [one for one in self.mapped if not self.pins[one]]

    def take_early(self, shard: int, stop: Stop, next_use: NextUse) -> bool:
        """A place for a shard that is not yet needed, once half the cache has room for such; False
        when it is here already, or is not needed any more. Only idle maps give way, and none that
        is needed sooner.

        It waits; nobody holds ``changed``. Nor is that held while the disk makes room, which may
        take long, lest whoever makes batches waits.
        """
        while True:
            with self.changed:
                if not self._await_turn(shard, stop, next_use):
                    return False
                self.early[shard] = False
            taken = False
            try:
                taken = self._cache.take(self.name(shard), self._shards[shard].bytes)
            finally:
                if not taken:
                    with self.changed:
                        self.early.pop(shard, None)
                        self.changed.notify_all()
            if taken:
                return True
            self._make_way(shard, next_use)

    def _await_turn(self, shard: int, stop: Stop, next_use: NextUse) -> bool:
        """Wait until half the cache has room for one more early shard. False as above."""
        size = self._shards[shard].bytes
        while True:
            stop.check()
            early = sum(self._shards[other].bytes for other in self.early) + size
            room = self._cache.share is None or early <= self._cache.share // 2
            here = shard in self.mapped or shard in self.early
            if here or not (room or self.early) or next_use(shard) == NEVER:
                return False
            if room:
                return True
            self.changed.wait(LOOK_S)
            self.give_way()

    def _make_way(self, shard: int, next_use: NextUse) -> None:
        """Let go of an idle map that is needed later than this shard, or wait for a while. Nobody
        holds ``changed``."""
        with self.changed:
            if self._neighbour_gave_way():
                return
            last = max(self._idle(), key=next_use, default=None)
            if last is None or next_use(last) <= next_use(shard):
                self.changed.wait(LOOK_S)
                self.give_way()
                return
            del self.mapped[last]
            self._empty(last)
        self._cache.drop(self.name(last))
        with self.changed:
            self.changed.notify_all()

    def forget(self, shard: int) -> None:
        """Keep it no longer for having been fetched early."""
        if self.early.pop(shard, None) is not None:
            self.leave(shard)

    def arrived(self, shard: int) -> None:
        """What was fetched early is here: keep it until it is first held, unless that has been."""
        if shard in self.mapped:
            self.forget(shard)
        elif shard in self.early:
            self.early[shard] = True
        self.changed.notify_all()

    def first_held(self, shard: int) -> None:
        """Nobody keeps it for having been fetched early, but for a thread that still looks for its
        file: without a place the file could be removed under that thread."""
        if self.early.get(shard):
            self.forget(shard)

    def forget_early(self) -> None:
        """Keep nothing any more that was fetched early, and wake who waits to fetch."""
        for shard in [one for one, done in self.early.items() if done]:
            self.forget(shard)
        self.changed.notify_all()

    def give_way(self) -> bool:
        """Let go of all that is not in use now, if another process has asked for room."""
        if not self._cache.asked():
            return False
        self.unmap_idle()
        self.forget_early()
        return True

    def claim(self, wanted: list[int], stop: Stop) -> list[int]:
        """Pin all and find places for those not mapped, which are returned; all or nothing.

        Two threads, or processes, that held halves would wait for each other.
        """
        size = sum(self._shards[shard].bytes for shard in wanted)
        deadline = time.monotonic() + OTHERS_S
        asking = False
        while True:
            stop.check()
            for shard in wanted:
                self.pins[shard] += 1
            missing: list[int] = []
            try:
                full = self._take_all(wanted, missing)
            except BaseException:
                self._give_back(wanted, missing)
                raise
            if full is None:
                if asking:
                    self._cache.satisfied()
                return missing
            self._give_back(wanted, missing)
            if any(self.pins) or self.early:
                self.changed.wait()
                continue
            # It is others who have the room, unless there is too little for us alone.
            asking = size <= (self._cache.limit or 0) and time.monotonic() < deadline
            if not asking:
                self._cache.satisfied()
                raise self._cache.full(self.name(full), size)
            self._cache.ask()
            self.changed.wait(random.uniform(0, WAIT_S))  # two that ask must fall out of step

    def _take_all(self, wanted: list[int], missing: list[int]) -> int | None:
        """Places for those not mapped, which are added to ``missing``; the shard that has none."""
        for shard in wanted:
            if shard not in self.mapped:
                if not self.take(shard):
                    return shard
                missing.append(shard)
        return None

    def _give_back(self, wanted: list[int], missing: list[int]) -> None:
        try:
            for one in missing:
                self.leave(one)
        finally:
            self.release(wanted)

    def release(self, wanted: list[int]) -> None:
        for shard in wanted:
            if self.pins[shard]:  # a forked child has forgotten what its parent's threads held
                self.pins[shard] -= 1
        self.changed.notify_all()

    def forked(self) -> None:
        """In a forked child: the threads that held, fetched or waited stayed with the parent, and
        so did the list of what is held in the cache. Nobody holds ``changed``."""
        self.changed.renew()
        self._cache.forked()
        self.fetching = {name: threading.Lock() for name in self.fetching}
        self.early.clear()
        self.streams = 0
        self.whole = self.whole and len(self.mapped) == len(self.pins)
        self.pins[:] = [int(self.whole)] * len(self.pins)
        if not self.whole:
            for shard in self.mapped:
                self._empty(shard)
            self.mapped.clear()


def _after_fork() -> None:
    for known in list(_all):
        if (places := known()) is not None:
            places.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
