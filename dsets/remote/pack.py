"""A remote pack: as a local one, but that shards come and go."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.errors import FetchError, OfflineError, PackError, SpaceError
from dsets.fetch import Patience, shown
from dsets.fetch.stop import Stop
from dsets.manifest import File
from dsets.pack import Pack, Problem, Statistics
from dsets.pack.reserve import Reserved
from dsets.pack.rows import Rows
from dsets.pack.schema import STATISTICS, Index, Shard, StatisticsFile
from dsets.remote import shards
from dsets.remote.ahead import Ahead
from dsets.remote.cache import Cache


class RemotePack(Pack):
    """A pack at an address; ``path`` is its folder in the cache.

    ``pack[i]`` fetches the shard it needs. Shards stay mapped until the cache wants room.
    """

    __slots__ = (
        "_all",
        "_cache",
        "_changed",
        "_early",
        "_fetching",
        "_mapped",
        "_patience",
        "_pins",
        "_reserved",
        "address",
    )

    def __init__(self, address: str, content: Index, cache: Cache, patience: Patience) -> None:
        """Use ``dsets.remote.open``."""
        super().__init__(cache.path(content.digest), content)
        self.address = address
        self._cache = cache
        self._patience = patience
        self._changed = threading.Condition(threading.RLock())  # guards all that follows
        self._reserved: list[Reserved | None] = [None] * len(content.shards)
        #: How often each shard is held now.
        self._pins = [0] * len(content.shards)
        #: Shards whose file is in its place, the one not used for longest first.
        self._mapped: dict[int, None] = {}
        #: Shards fetched before anyone holds them; False while that is still going on.
        self._early: dict[int, bool] = {}
        self._all = False
        names = (STATISTICS, *(shard.name for shard in content.shards))
        self._fetching = {name: threading.Lock() for name in names}

    def holding(self, numbers: npt.NDArray[np.int64]) -> AbstractContextManager[None]:
        wanted = np.unique(np.searchsorted(self.starts, numbers, side="right") - 1)
        return self._holding(wanted.tolist())

    def reserved(self, name: str) -> tuple[np.ndarray, ...]:
        return super().arrays(name)

    def arrays(self, name: str) -> tuple[np.ndarray, ...]:
        """As for any pack: so this fetches all of it, and keeps it."""
        found = super().arrays(name)
        with self._changed:
            first, self._all = not self._all, True
        if first:
            self._hold(list(range(len(self._pins))))
        return found

    def ahead(self) -> Ahead:
        return Ahead(self)

    def __getitem__(self, number: Any) -> dict[str, Any]:
        wanted = np.arange(len(self))[number]
        with self.holding(np.atleast_1d(wanted)):
            return super().__getitem__(number)

    def keys(self, numbers: Iterable[int]) -> list[str]:
        wanted = list(numbers)
        with self.holding(np.arange(len(self))[np.array(wanted, np.int64)]):
            return super().keys(wanted)

    def check(self, number: int) -> None:
        with self.holding(np.atleast_1d(np.arange(len(self))[number])):
            super().check(number)

    @property
    def statistics(self) -> Statistics | None:
        if self.index.statistics is not None and self._statistics is None:
            self.bring(self.index.statistics)
        return super().statistics

    def bring(self, shard: Shard | StatisticsFile, stop: Stop | None = None) -> None:
        """Have a file of the pack in the cache; whoever calls this holds its place there."""
        name = shard.name if isinstance(shard, Shard) else STATISTICS
        address = shards.below(self.address, name)
        file = File(name, (address,), shard.bytes, shard.sha256)
        with self._fetching[name]:  # another process is waited for more slowly
            shards.bring(file, self.path / name, stop or Stop(), self._patience)

    def bring_early(self, shard: int, stop: Stop) -> None:
        """Fetch a shard and keep it until it is first held, if half the cache has room for such."""
        one = self.index.shards[shard]

        def room() -> bool:
            early = sum(self.index.shards[other].bytes for other in self._early) + one.bytes
            return self._cache.limit is None or early <= self._cache.limit // 2

        with self._changed:
            self._changed.wait_for(lambda: stop.called or not self._early or room())
            stop.check()
            here = shard in self._mapped or shard in self._early
            if here or not room() or not self._place(shard, early=True):
                return
            self._early[shard] = False
        try:
            self.bring(one, stop)
            with self._changed:
                if shard in self._early:
                    self._early[shard] = True
                self._changed.notify_all()
        except BaseException:
            with self._changed:
                self._forget(shard)
            raise

    def forget_early(self) -> None:
        """Keep nothing any more that was fetched early, and wake who waits to fetch."""
        with self._changed:
            for shard in [one for one, done in self._early.items() if done]:
                self._forget(shard)
            self._changed.notify_all()

    def _forget(self, shard: int) -> None:
        if self._early.pop(shard, None) is not None:
            self._leave(shard)

    def _place(self, shard: int, *, early: bool = False) -> bool:
        """A place in the cache for a shard; maps of idle ones, then early ones, give way."""
        one = self.index.shards[shard]
        while not self._cache.take(self._name(shard), one.bytes):
            idle = next((other for other in self._mapped if not self._pins[other]), None)
            ready = next((other for other, done in self._early.items() if done), None)
            if idle is not None:
                self._unmap(idle)
            elif ready is not None and not early:
                self._forget(ready)
            else:
                return False
        return True

    def _leave(self, shard: int) -> None:
        self._cache.drop(self._name(shard))
        self._changed.notify_all()

    def download(self) -> list[Problem]:
        """Fetch every file; what could not be had as it should be."""
        problems = []
        for number, shard in enumerate(self.index.shards):
            with self._changed:
                taken = self._place(number)
            if not taken:
                raise self._cache.full(self._name(number))
            try:
                self.bring(shard)
            except (OfflineError, SpaceError):
                raise
            except FetchError as error:
                problems.append(Problem(shard.name, str(error)))
        if self.index.statistics is not None:
            self.bring(self.index.statistics)
        return problems

    def close(self) -> None:
        """Let go of every shard; the pack may be used again. Idempotent."""
        with self._changed:
            for shard in [one for one in self._mapped if not self._pins[one]]:
                self._unmap(shard)
            if not self._mapped:
                self._cache.close()

    def __enter__(self) -> RemotePack:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return super().__repr__().replace(str(self.path), shown(self.address))

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.address, self.digest, self._cache.root, self._cache.limit)

    def _name(self, shard: int) -> str:
        return f"{self.path.name}/{self.index.shards[shard].name}"

    def _rows(self, shard: int) -> Rows:
        with self._changed:
            found = self._shards[shard]
            if found is None:
                found = Rows(self.index.shards[shard], self._space(shard).memory)
                self._shards[shard] = found
            return found

    def _space(self, shard: int) -> Reserved:
        found = self._reserved[shard]
        if found is None:
            found = self._reserved[shard] = Reserved(self.index.shards[shard].bytes)
        return found

    @contextmanager
    def _holding(self, wanted: list[int]) -> Iterator[None]:
        self._hold(wanted)
        try:
            yield
        finally:
            with self._changed:
                self._release(wanted)

    def _hold(self, wanted: list[int]) -> None:
        with self._changed:
            missing = self._claim(wanted)
        try:
            for shard in missing:
                self.bring(self.index.shards[shard])
            with self._changed:
                while missing:
                    self._map(missing[0])
                    missing.pop(0)
                for shard in wanted:  # used last
                    self._mapped[shard] = self._mapped.pop(shard)
        except BaseException:
            with self._changed:
                for shard in missing:
                    self._leave(shard)
                self._release(wanted)
            raise

    def _claim(self, wanted: list[int]) -> list[int]:
        """Pin all and find places for those not mapped, which are returned; all or nothing.

        Two threads that held halves would wait for each other.
        """
        while True:
            for shard in wanted:
                self._pins[shard] += 1
            missing: list[int] = []
            for shard in wanted:
                if shard in self._mapped:
                    continue
                if not self._place(shard):
                    break
                missing.append(shard)
            else:
                return missing
            for one in missing:
                self._leave(one)
            self._release(wanted)
            if not any(self._pins) and not self._early:
                raise self._cache.full(self._name(shard))
            self._changed.wait()

    def _release(self, wanted: list[int]) -> None:
        for shard in wanted:
            self._pins[shard] -= 1
        self._changed.notify_all()

    def _map(self, shard: int) -> None:
        """Put a shard that is here, and has its place in the cache, under its addresses."""
        if shard in self._mapped:  # another thread was faster
            self._leave(shard)
            return
        rows, reserved = self._rows(shard), self._space(shard)
        reserved.fill(self.path / rows.name)
        try:
            rows.check(self.fields)
        except PackError:
            reserved.empty()
            raise
        self._mapped[shard] = None
        self._forget(shard)

    def _unmap(self, shard: int) -> None:
        del self._mapped[shard]
        self._space(shard).empty()
        self._leave(shard)


def _reopen(address: str, digest: str, root: Any, limit: int | None) -> RemotePack:
    from dsets.remote.opening import open

    pack = open(address, folder=root, limit=limit)
    if pack.digest != digest:
        raise PackError(
            "the pack has changed", where=shown(address), expected=digest, got=pack.digest
        )
    return pack
