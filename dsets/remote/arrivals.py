"""Files of a remote pack on their way into the cache."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from dsets.errors import FetchError, OfflineError, SpaceError
from dsets.fetch import crew, is_offline, shown
from dsets.fetch.job import OFFLINE
from dsets.fetch.sessions import Sessions
from dsets.fetch.stop import Stop
from dsets.manifest import File
from dsets.pack.schema import STATISTICS, Index, Shard, StatisticsFile
from dsets.progress import ignore
from dsets.remote import shards
from dsets.remote.ahead import NextUse
from dsets.remote.cache import Cache, usable
from dsets.remote.doubt import damaged
from dsets.remote.patience import Patiences
from dsets.remote.places import WAIT_S, Places
from dsets.remote.waits import Waits

#: Shards that one batch fetches at once.
AT_ONCE = 8


class Arrivals:
    """What fetches a pack's files, each by one thread at a time.

    Whoever calls has a place in the cache for what is fetched, but for ``bring_early``.
    """

    def __init__(
        self, address: str, content: Index, cache: Cache, places: Places, patience: Patiences
    ) -> None:
        self._address = address
        self._path = cache.path(content.digest)
        self._shards = content.shards
        self._files: Mapping[str, Shard | StatisticsFile] = {
            one.name if isinstance(one, Shard) else STATISTICS: one
            for one in (*content.shards, content.statistics)
            if one is not None
        }
        self._cache = cache
        self._places = places
        self._patience = patience
        self._sessions = Sessions()
        self._waits = Waits(shown(address))

    def bring(self, name: str, stop: Stop | None = None, *, awaited: bool = False) -> None:
        """Have a file of the pack in the cache.

        ``awaited``: a stream or a sample needs it now, so the server is waited for, and a warning
        tells when that takes long.

        Raises:
            FetchError: it cannot be had.
        """
        known = self._files[name]
        address = shards.below(self._address, name)
        by = "the pack's index"
        file = File(name, (address,), known.bytes, known.sha256, stated_by=by)
        stop = stop or Stop()
        fetching = self._places.fetching[name]
        while not fetching.acquire(timeout=WAIT_S):  # another process is waited for more slowly
            stop.check()
        try:
            patience = self._patience.awaited if awaited else self._patience.brief
            tell = self._waits if awaited else ignore
            with usable(self._cache.root):
                shards.bring(file, self._path / name, stop, patience, self._sessions, tell)
                if name == STATISTICS:  # which needs no place
                    self._cache.came(f"{self._path.name}/{name}")
        finally:
            fetching.release()

    def bring_all(self, missing: list[int], stop: Stop) -> None:
        """Fetch several shards at once; the first failure ends the others."""
        with stop.part() as part:
            names = [self._shards[shard].name for shard in missing]
            tasks = [partial(self.bring, name, part, awaited=True) for name in names]
            for failure in crew.run(tasks, AT_ONCE, part):
                if failure is not None:
                    raise failure

    def bring_early(self, shard: int, stop: Stop, next_use: NextUse) -> None:
        """Fetch a shard and keep it until it is first held, once half the cache has room for such.

        Of shards that are here already only those give way that are needed later than this one.
        """
        places = self._places
        with usable(self._cache.root):
            here = not places.take_early(shard, stop, next_use)
        if here:
            return
        try:
            self.bring(self._shards[shard].name, stop)
            with places.changed:
                places.arrived(shard)
        except BaseException:
            with places.changed:
                places.forget(shard)
            raise

    def renew(self, name: str) -> bool:
        """Whether a file that was found to be wrong was damaged in the cache, and was fetched anew.

        Raises:
            FetchError: it is damaged in the cache, and cannot be had again.
        """
        if name not in self._files or not damaged(self._path / name, self._files[name].sha256):
            return False
        if is_offline():
            raise FetchError(
                "damaged in the cache, and nobody may be asked",
                where=name,
                remedy=f"unset {OFFLINE}",
            )
        with usable(self._cache.root):
            self._cache.discard(f"{self._path.name}/{name}")
        try:
            self.bring(name)
        except (OfflineError, SpaceError):
            raise
        except FetchError as error:
            what = f"damaged in the cache, and not to be had again: {error.what}"
            raise FetchError(
                what,
                where=error.where,
                expected=error.expected,
                got=error.got,
                remedy=error.remedy,
            ) from error
        return True

    def close(self) -> None:
        """Close the connections; others are made when they are needed. Idempotent."""
        self._sessions.close()
