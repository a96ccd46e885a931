"""The cache of fetched shards: one folder, many processes, a limit.

    <cache>/index/<sha256 of the address>/index.json
    <cache>/packs/<pack digest>/<shard>                with its receipt beside it (dsets.fetch)
    <cache>/held/<process and number>.json             what a process holds: name → bytes
    <cache>/held/<process and number>.wish             it waits for room: others let go of the idle
    <cache>/parts.json                                 names held once, of which a part was left

Every change of what is held, and every removal, is made under the lock of the folder.
"""

from __future__ import annotations

import errno
import os
import re
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dsets.errors import DsetsError, FetchError, SpaceError, UsageError
from dsets.fetch import receipts
from dsets.fetch.part import origin_path, part_path
from dsets.remote import held, parts, region
from dsets.remote.kept import Kept
from dsets.store import home

FOLDER = "DSETS_CACHE"
SIZE = "DSETS_CACHE_SIZE"
_FEWER = (
    "take fewer samples at once: smaller batches, shorter slices, or a stream with "
    "Window(lanes, …) of fewer lanes"
)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def folder() -> Path:
    """``$DSETS_CACHE``, or ``remote`` in the home."""
    given = os.environ.get(FOLDER)
    return Path(given).expanduser().absolute() if given else home() / "remote"


def limit() -> int | None:
    """``$DSETS_CACHE_SIZE`` in bytes, as in 200G; None where it is not set.

    Raises:
        UsageError: it is no size.
    """
    text = os.environ.get(SIZE, "").strip()
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,15})\s*([KMGT]?)(?:i?B)?", text, re.I)
    if not match:
        raise UsageError("bad size", where=SIZE, expected="bytes, or as in 200G", got=repr(text))
    return int(match[1]) * _UNITS[match[2].upper()]


@contextmanager
def usable(root: Path) -> Iterator[None]:
    """What the disk refuses while the block runs is told as an error of the cache.

    Raises:
        FetchError: the system did not let us use it, or somebody removed what is in use.
    """
    try:
        yield
    except DsetsError:
        raise
    except OSError as error:
        raise FetchError(
            "the cache cannot be used",
            where=error.filename or root,
            got=error.strerror,
            remedy=f"try again, or give a folder that can be written ({FOLDER}=…)",
        ) from error


class Cache:
    """One user's view of the cache. ``take`` and ``drop`` count; not for several threads at once.

    A forked child has its own list from its first ``take`` on; its parent's stays locked with it.
    What is dropped without ``close`` holds nothing any more.
    """

    def __init__(self, root: Path, limit: int | None) -> None:
        self.root = root
        self.limit = limit
        self._held: Counter[str] = Counter()
        self._bytes: dict[str, int] = {}
        self._list = held.Held(root)
        self._kept = Kept(root)
        # Made before any thread that uses it, so that it ends after them when the process exits.
        self._finalizer = weakref.finalize(self, self._list.end)
        #: Other users that hold something, or did when we last looked, of each process.
        self._users: Counter[int] = Counter()
        self._looked_ns = 0

    def path(self, name: str) -> Path:
        return parts.shard_path(self.root, name)

    def take(self, name: str, size: int) -> bool:
        """Hold a shard of ``size`` bytes, there or still to be fetched; make room if need be.

        False, and nothing changed, where what is held leaves no room for it.
        """
        if self._list.here and self._held[name]:
            self._held[name] += 1
            return True
        if not self._begin():
            return True
        with region.folder(self.root):
            if not self._make_room(name, size):
                return False
            self._held[name] += 1
            self._bytes[name] = size
            self._list.write(self._bytes)
        with suppress(OSError):  # used now; the receipt believes in the modification time
            there = self.path(name).stat()
            os.utime(self.path(name), ns=(_now(there), there.st_mtime_ns))
        return True

    def drop(self, name: str) -> None:
        """Let go of what ``take`` gave."""
        if not self._list.here or not self._held[name]:
            return
        self._held[name] -= 1
        if not self._held[name]:
            del self._held[name], self._bytes[name]
            with region.folder(self.root):
                self._list.write(self._bytes)
                parts.remember(self.root, [name])

    def discard(self, name: str) -> None:
        """Remove a damaged file, unless another user holds it."""
        self._begin()
        with region.folder(self.root):
            if name not in self._others():
                self.path(name).unlink(missing_ok=True)
                receipts.forget(self.path(name))

    def close(self) -> None:
        """Hold nothing any more. Idempotent."""
        if self._list.here:
            with region.folder(self.root):
                self._list.remove()
        self._held.clear()
        self._bytes.clear()

    @property
    def share(self) -> int | None:
        """The limit, divided by the users that were there when we last took something."""
        return None if self.limit is None else self.limit // (1 + self._users.total())

    def ask(self) -> None:
        """Ask other processes to let go of what they do not use now."""
        self._begin()
        self.satisfied()
        self._list.wish.parent.mkdir(parents=True, exist_ok=True)
        self._list.wish.touch()  # anew, so that the folder's time says so

    def satisfied(self) -> None:
        """Ask no more."""
        if self._list.here:
            self._list.wish.unlink(missing_ok=True)

    def asked(self) -> bool:
        """Whether another user has asked for room since this was last called."""
        if not self._list.here:
            return False
        folder = self.root / "held"
        try:
            changed = folder.stat().st_mtime_ns
        except FileNotFoundError:  # with all the cache; the list is made anew when it changes
            return False
        if changed == self._looked_ns:
            return False
        self._looked_ns = changed
        wishes = filter(held.ours, folder.glob("*.wish"))
        return any(path != self._list.wish for path in wishes)

    def full(self, name: str, wanted: int, instead: str = f"or {_FEWER}") -> SpaceError:
        """What to say when a shard, one of those of ``wanted`` bytes that are needed at once, finds
        no room though nothing of this user's could give way. ``instead`` of a larger cache, one
        can do this."""
        limit = f"at most {self.limit} bytes"
        if wanted > (self.limit or 0):
            return SpaceError(
                "the cache has no room for what is needed at once",
                where=self.path(name),
                expected=limit,
                got=f"{wanted} bytes of shards",
                remedy=", ".join(filter(None, (f"give it more ({SIZE})", instead))),
            )
        self._begin()
        with region.folder(self.root):
            taken = sum(size for one, size in self._others().items() if one not in self._bytes)
        who = ", ".join(
            "another pack of this process" if process == os.getpid() else f"process {process}"
            for process in sorted(self._users)
        )
        return SpaceError(
            "the cache has no room for a shard: everything in it is in use",
            where=self.path(name),
            expected=limit,
            got=f"{wanted} bytes wanted, {taken} held by {who or 'another that has ended now'}",
            remedy="close there what is not needed (pack.close()), wait for it to end, or give "
            f"the cache more ({SIZE})",
        )

    def _begin(self) -> bool:
        """False where the folder cannot be written: then nothing can be held, and what is there is
        used for as long as nobody else removes it."""
        if self._list.here:
            return True
        self._held.clear()
        self._bytes.clear()
        try:
            (self.root / "held").mkdir(parents=True, exist_ok=True)
            with region.folder(self.root):
                self._list.begin()
                self._others()
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
            return False
        return True

    def _make_room(self, name: str, size: int) -> bool:
        if self.limit is None:
            return True
        kept = dict(self._bytes) | self._others() | {name: size}
        if sum(kept.values()) > self.limit:
            return False
        idle = [
            (there.st_atime_ns, there.st_size, one, False)
            for one, there in self._kept.look().items()
            if one not in kept
        ]
        idle += [
            (there.st_mtime_ns, there.st_size, one, True)
            for one, there in parts.left(self.root).items()
            if one not in kept
        ]
        total = sum(kept.values()) + sum(size for _, size, *_ in idle)
        for _, size, one, partly in sorted(idle):
            if total <= self.limit:
                break
            path = self.path(one)
            pair = (part_path, origin_path) if partly else (Path, receipts.receipt_path)
            for each in pair:
                each(path).unlink(missing_ok=True)
            total -= size
        return True

    def _others(self) -> dict[str, int]:
        """What others hold; the lists of dead ones are removed."""
        found, self._users = held.others(self.root, self._list.path)
        return found


def _now(there: os.stat_result) -> int:
    return max(time.time_ns(), there.st_atime_ns + 1)
