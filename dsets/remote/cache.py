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
from dsets.remote import held, parts, region
from dsets.remote.idle import Idle
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
    """One user's view of the cache, for any number of threads. ``take`` and ``drop`` count.

    A forked child has its own list from its first ``take`` on; its parent's stays locked with it.
    What is dropped without ``close`` holds nothing any more.
    """

    def __init__(self, root: Path, limit: int | None) -> None:
        self.root = root
        self.limit = limit
        self._counting = region.Changed()  # guards both, and is held for no longer than to count
        self._held: Counter[str] = Counter()
        self._bytes: dict[str, int] = {}
        self._list = held.Held(root)
        self._idle = Idle(root)
        # Made before any thread that uses it, so that it ends after them when the process exits.
        self._finalizer = weakref.finalize(self, self._list.end)
        #: Other users that hold something, or did when we last looked, of each process.
        self._users: Counter[int] = Counter()
        self._looked_ns = 0

    def path(self, name: str) -> Path:
        return parts.shard_path(self.root, name)

    def take(self, name: str, size: int) -> bool:
        """Hold a shard of ``size`` bytes, there or still to be fetched; make room if need be.

        False, and nothing changed, where what is held leaves no room for it. What is held already
        waits for nobody, not for a thread that makes room either.
        """
        while not self._again(name) and self._begin():
            with region.folder(self.root):
                if not self._list.here:  # closed meanwhile
                    continue
                if not self._again(name):
                    if not self._make_room(name, size):
                        return False
                    with self._counting:
                        held = self._bytes | {name: size}
                    self._list.write(held)  # what cannot be written is not held
                    with self._counting:
                        self._held[name] += 1
                        self._bytes[name] = size
            with suppress(OSError):  # used now; the receipt believes in the modification time
                there = self.path(name).stat()
                os.utime(self.path(name), ns=(_now(there), there.st_mtime_ns))
            break
        return True

    def _again(self, name: str) -> bool:
        with self._counting:
            if self._list.here and self._held[name]:
                self._held[name] += 1
                return True
        return False

    def drop(self, name: str) -> None:
        """Let go of what ``take`` gave."""
        with self._counting:
            if self._held[name] > 1:
                self._held[name] -= 1
                return
        if not self._list.here:
            return
        with region.folder(self.root):
            with self._counting:
                self._held[name] -= 1
                if self._held[name] > 0:
                    return
                del self._held[name]
                self._bytes.pop(name, None)  # not there where it was closed meanwhile
                held = dict(self._bytes)
            try:
                self._list.write(held)
                parts.remember(self.root, [name])
            finally:
                self._idle.left(name)

    def came(self, name: str) -> None:
        """A file of ours was put there that nobody holds. Others see that somebody was here."""
        if self._begin():
            with region.folder(self.root):
                self._idle.left(name)

    def discard(self, name: str) -> None:
        """Remove a damaged file, unless another user holds it."""
        self._begin()
        with region.folder(self.root):
            if name not in self._others():
                self.path(name).unlink(missing_ok=True)
                receipts.forget(self.path(name))
                self._idle.left(name)

    def close(self) -> None:
        """Hold nothing any more. Idempotent."""
        if self._list.here:
            with region.folder(self.root):
                self._list.remove()
                with self._counting:
                    self._held.clear()
                    self._bytes.clear()

    def forked(self) -> None:
        """In a forked child: a lock that no thread holds."""
        self._counting.renew()

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
        try:
            (self.root / "held").mkdir(parents=True, exist_ok=True)
            with region.folder(self.root):
                if self._list.here:  # another thread was faster
                    return True
                with self._counting:
                    self._held.clear()
                    self._bytes.clear()
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
        others = self._others()
        with self._counting:
            held = self._bytes | others | {name: size}
        room = self.limit - sum(held.values())
        if room < 0:
            return False
        self._idle.shrink(held, room)
        return True

    def _others(self) -> dict[str, int]:
        """What others hold; the lists of dead ones are removed."""
        if self._list.alone:
            return {}
        self._idle.forget()
        found, self._users = held.others(self.root, self._list.path)
        if not self._users:
            self._list.found_alone()
        return found


def _now(there: os.stat_result) -> int:
    return max(time.time_ns(), there.st_atime_ns + 1)
