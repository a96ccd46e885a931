"""A remote pack: as a local one, but that shards come and go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from shlex import quote
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.errors import PackError
from dsets.fetch import shown
from dsets.fetch.stop import Stop
from dsets.pack import Pack, Statistics
from dsets.pack.reserve import Reserved
from dsets.pack.rows import Rows
from dsets.pack.schema import STATISTICS, Index
from dsets.remote import cache
from dsets.remote.ahead import Ahead
from dsets.remote.arrivals import Arrivals
from dsets.remote.cache import Cache, usable
from dsets.remote.doubt import damaged
from dsets.remote.patience import Patiences
from dsets.remote.places import WAIT_S, Places


class RemotePack(Pack):
    """A pack at an address; ``path`` is its folder in the cache.

    ``pack[i]`` fetches the shard it needs. Shards stay mapped until the cache wants room.
    """

    __slots__ = ("_cache", "_changed", "_doubted", "_places", "_reserved", "address", "arrivals")

    def __init__(self, address: str, content: Index, cache: Cache, patience: Patiences) -> None:
        """Use ``dsets.remote.open``."""
        super().__init__(cache.path(content.digest), content)
        self.address = address
        self._cache = cache
        self._doubted: set[int] = set()
        self._reserved: list[Reserved | None] = [None] * len(content.shards)
        # These must not refer to the pack, which is let go of with its last user.
        self._places = Places(
            content.shards, self.path.name, cache, partial(_empty, self._reserved)
        )
        self._changed = self._places.changed
        self.arrivals = Arrivals(address, content, cache, self._places, patience)

    def holding(
        self, numbers: npt.NDArray[np.int64], stop: Stop | None = None
    ) -> AbstractContextManager[None]:
        wanted = np.unique(np.searchsorted(self.starts, numbers, side="right") - 1)
        return self._holding(wanted.tolist(), stop or Stop())

    def reserved(self, name: str) -> tuple[np.ndarray, ...]:
        return super().arrays(name)

    def arrays(self, name: str) -> tuple[np.ndarray, ...]:
        """As for any pack: so this fetches all of it, and keeps it."""
        found = super().arrays(name)
        with self._changed:
            first, self._places.whole = not self._places.whole, True
        if first:
            try:
                self._hold_whole()
            except BaseException:
                with self._changed:
                    self._places.whole = False
                raise
        return found

    def _hold_whole(self) -> None:
        size, limit = sum(shard.bytes for shard in self.index.shards), self._cache.limit
        if limit is not None and size > limit:
            instead = "or read samples (pack[a:b]), not arrays, which are the whole pack's"
            raise self._cache.full(self._places.name(0), size, instead)
        shards = range(len(self.index.shards))
        self._hold(list(shards), Stop())
        for shard in shards:
            self._space(shard).keep(self._cache)

    def ahead(self) -> Ahead:
        return Ahead(self)

    @property
    def limit(self) -> int | None:
        """What the cache may hold, in bytes, if it has a limit."""
        return self._cache.limit

    @property
    def streams(self) -> int:
        """How many streams run over this pack in this process."""
        return self._places.streams

    def streamed(self, streams: int) -> None:
        """So many streams more run over this pack, or fewer."""
        with self._changed:
            self._places.streams += streams

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
            self.arrivals.bring(STATISTICS)
        return super().statistics

    def give_way(self) -> bool:
        """Let go of all that is not in use now, if another process has asked for room."""
        with self._changed:
            return self._places.give_way()

    def forget_early(self) -> None:
        """Keep nothing any more that was fetched early, and wake who waits to fetch."""
        with self._changed:
            self._places.forget_early()

    @contextmanager
    def having(self, name: str) -> Iterator[None]:
        """While the block runs, the file of this name is in its place.

        Raises:
            FetchError: it cannot be had; SpaceError where the cache has no room for it.
        """
        if name == STATISTICS:
            if self.index.statistics is not None:
                self.arrivals.bring(STATISTICS)
            yield
            return
        number = [shard.name for shard in self.index.shards].index(name)
        with usable(self._cache.root), self._changed:
            taken = self._places.take(number)
        if not taken:
            size = self.index.shards[number].bytes
            raise self._cache.full(self._places.name(number), size, "")
        try:
            self.arrivals.bring(name)
            yield
        finally:
            with self._changed:
                self._places.leave(number)

    def renew(self, name: str) -> bool:
        return self.arrivals.renew(name)

    def doubt(self, numbers: Iterable[int]) -> None:
        """Read the shards of damaged samples, once each: what differs from the index in the cache
        is believed no more, so that whoever needs it next fetches it anew.
        """
        whole = np.arange(len(self))[np.array(list(numbers), np.int64)]
        found = np.searchsorted(self.starts, whole, side="right") - 1
        with self._changed:
            new = set(found.tolist()) - self._doubted
            self._doubted |= new
        for shard in new:
            one = self.index.shards[shard]
            damaged(self.path / one.name, one.sha256)

    @property
    def mend(self) -> str:
        """Only the cache's own: a pack is repaired where it lies."""
        root = self._cache.root
        elsewhere = "" if root == cache.folder() else f"{cache.FOLDER}={quote(str(root))} "
        return f"{elsewhere}dsets verify {quote(shown(self.address))}"

    @property
    def remedy(self) -> str:
        return f"'{self.mend}' fetches damaged shards anew"

    def close(self) -> None:
        """Let go of every shard; the pack may be used again. Idempotent."""
        self.arrivals.close()
        with self._changed:
            self._places.unmap_idle()
            if not self._places.in_use:
                self._cache.close()

    def __repr__(self) -> str:
        return super().__repr__().replace(str(self.path), shown(self.address))

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.address, self.digest, self._cache.root, self._cache.limit)

    def rows(self, shard: int) -> Rows:
        with self._changed:
            found = self._shards[shard]
            if found is None:
                space = self._space(shard)
                found = Rows(self.index.shards[shard], space.memory, space)
                self._shards[shard] = found
            return found

    def _space(self, shard: int) -> Reserved:
        found = self._reserved[shard]
        if found is None:
            found = self._reserved[shard] = Reserved(self.index.shards[shard].bytes)
        return found

    @contextmanager
    def _holding(self, wanted: list[int], stop: Stop) -> Iterator[None]:
        self._hold(wanted, stop)
        try:
            yield
        finally:
            with self._changed:
                self._places.release(wanted)

    def _hold(self, wanted: list[int], stop: Stop) -> None:
        with usable(self._cache.root):
            self._pin(wanted, stop)

    def _pin(self, wanted: list[int], stop: Stop) -> None:
        if self.give_way():
            stop.wait(WAIT_S)  # for whoever asked to come first
        with self._changed:
            missing = self._places.claim(wanted, stop)
        try:
            self.arrivals.bring_all(missing, stop)
            with self._changed:
                while missing:
                    self._map(missing[0])
                    missing.pop(0)
                for shard in wanted:  # used last
                    self._places.mapped[shard] = self._places.mapped.pop(shard)
        except BaseException:
            with self._changed:
                for shard in missing:
                    self._places.leave(shard)
                self._places.release(wanted)
            raise

    def _map(self, shard: int) -> None:
        """Put a shard that is here, and has its place in the cache, under its addresses."""
        if shard in self._places.mapped:  # another thread was faster
            self._places.leave(shard)
            return
        rows, reserved = self.rows(shard), self._space(shard)
        reserved.fill(self.path / rows.name)
        try:
            rows.check(self.fields)
        except PackError as error:
            reserved.empty()
            if not damaged(self.path / rows.name, self.index.shards[shard].sha256):
                raise
            raise PackError(
                error.what,
                where=error.where,
                expected=error.expected,
                got=error.got,
                remedy=self.remedy,
            ) from error
        self._places.mapped[shard] = None
        self._places.first_held(shard)


def _empty(reserved: list[Reserved | None], shard: int) -> None:
    space = reserved[shard]
    if space is not None:
        space.empty()


def _reopen(address: str, digest: str, root: Any, limit: int | None) -> RemotePack:
    from dsets.remote.opening import open

    pack = open(address, folder=root, limit=limit)
    if pack.digest != digest:
        raise PackError(
            "the pack has changed", where=shown(address), expected=digest, got=pack.digest
        )
    return pack
