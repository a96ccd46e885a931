"""The cache of fetched shards: one folder, many processes, a limit.

    <cache>/index/<sha256 of the address>/index.json
    <cache>/packs/<pack digest>/<shard>                with its receipt beside it (dsets.fetch)
    <cache>/held/<process and number>.json             what a process holds: name → bytes
    <cache>/held/<process and number>.wish             it waits for room: others let go of the idle
    <cache>/parts.json                                 names held once, of which a part was left

Every change of what is held, and every removal, is made under the lock of the folder. A process
keeps the lock of its file below ``held``: one that can be locked was left by a dead process.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dsets.atomic import replacing
from dsets.errors import SpaceError, UsageError
from dsets.fetch import receipts
from dsets.fetch.part import origin_path, part_path
from dsets.locks import holding
from dsets.store import home

FOLDER = "DSETS_CACHE"
SIZE = "DSETS_CACHE_SIZE"
PARTS = "parts.json"
#: A pack's digest, and a plain file name.
_NAME = re.compile(r"[0-9a-f]{64}/(?!\.)[^/\0]+")
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


class Cache:
    """A process's view of the cache. ``take`` and ``drop`` count; not for several threads at once.

    A forked child has its own list from its first ``take`` on; its parent's stays locked with it.
    """

    def __init__(self, root: Path, limit: int | None) -> None:
        self.root = root
        self.limit = limit
        self._held: Counter[str] = Counter()
        self._bytes: dict[str, int] = {}
        self._file: int | None = None
        self._process = 0
        #: Processes that hold something or did when we last looked, this one too.
        self._sharers = 1
        self._looked_ns = 0

    def path(self, name: str) -> Path:
        return self.root / "packs" / name

    def take(self, name: str, size: int) -> bool:
        """Hold a shard of ``size`` bytes, there or still to be fetched; make room if need be.

        False, and nothing changed, where what is held leaves no room for it.
        """
        if self._process == os.getpid() and self._held[name]:
            self._held[name] += 1
            return True
        self._begin()
        with holding(self.root, folder=True):
            if not self._make_room(name, size):
                return False
            self._held[name] += 1
            self._bytes[name] = size
            self._write()
        with suppress(OSError):  # used now; the receipt believes in the modification time
            there = self.path(name).stat()
            os.utime(self.path(name), ns=(_now(there), there.st_mtime_ns))
        return True

    def drop(self, name: str) -> None:
        """Let go of what ``take`` gave."""
        if self._process != os.getpid() or not self._held[name]:
            return
        self._held[name] -= 1
        if not self._held[name]:
            del self._held[name], self._bytes[name]
            with holding(self.root, folder=True):
                self._write()
                self._remember([name])

    def close(self) -> None:
        """Hold nothing any more. Idempotent."""
        if self._file is not None and self._process == os.getpid():
            with holding(self.root, folder=True):
                self._remember(self._bytes)
                os.close(self._file)
                self._path.unlink(missing_ok=True)
                self._wish.unlink(missing_ok=True)
        self._file = None
        self._held.clear()
        self._bytes.clear()

    @property
    def share(self) -> int | None:
        """The limit, divided by the processes that were there when we last took something."""
        return None if self.limit is None else self.limit // self._sharers

    def ask(self) -> None:
        """Ask other processes to let go of what they do not use now."""
        self._begin()
        self.satisfied()
        self._wish.touch()  # anew, so that the folder's time says so

    def satisfied(self) -> None:
        """Ask no more."""
        if self._file is not None and self._process == os.getpid():
            self._wish.unlink(missing_ok=True)

    def asked(self) -> bool:
        """Whether another process has asked for room since this was last called."""
        if self._file is None or self._process != os.getpid():
            return False
        changed = self._path.parent.stat().st_mtime_ns
        if changed == self._looked_ns:
            return False
        self._looked_ns = changed
        return any(path != self._wish for path in self._path.parent.glob("*.wish"))

    def full(self, name: str) -> SpaceError:
        return SpaceError(
            "the cache has no room for a shard: everything in it is in use",
            where=self.path(name),
            expected=f"at most {self.limit} bytes",
            remedy=f"give it more ({SIZE}), or stream with Window(lanes, …) of fewer lanes",
        )

    def _begin(self) -> None:
        if self._process == os.getpid() and self._file is not None:
            return
        if self._file is not None:  # the parent's: closing our copy leaves its lock with it
            os.close(self._file)
        self._held.clear()
        self._bytes.clear()
        beside = self.root / "held"
        beside.mkdir(parents=True, exist_ok=True)
        with holding(self.root, folder=True):
            self._path = beside / f"{os.getpid()}-{secrets.token_hex(4)}.json"
            self._wish = self._path.with_suffix(".wish")
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o666)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._process = os.getpid()

    def _write(self) -> None:
        if self._file is None:
            return
        data = json.dumps(self._bytes).encode()
        os.pwrite(self._file, data, 0)
        os.ftruncate(self._file, len(data))

    def _make_room(self, name: str, size: int) -> bool:
        if self.limit is None:
            return True
        held = dict(self._bytes) | self._others() | {name: size}
        if sum(held.values()) > self.limit:
            return False
        idle = [
            (
                found.st_atime_ns,
                found.st_size,
                [self.path(one), receipts.receipt_path(self.path(one))],
            )
            for one, found in self._there().items()
            if one not in held
        ]
        idle += [
            (
                found.st_mtime_ns,
                found.st_size,
                [part_path(self.path(one)), origin_path(self.path(one))],
            )
            for one, found in self._parts().items()
            if one not in held
        ]
        total = sum(held.values()) + sum(size for _, size, _ in idle)
        for _, size, paths in sorted(idle):
            if total <= self.limit:
                break
            for path in paths:
                path.unlink(missing_ok=True)
            total -= size
        return True

    def _others(self) -> dict[str, int]:
        """What other processes hold; the lists of dead ones are removed."""
        found: dict[str, int] = {}
        self._sharers = 1
        for path in (self.root / "held").glob("*.json"):
            if path == self._path:
                continue
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(ValueError, TypeError):
                    self._remember(json.loads(path.read_bytes()))
                path.unlink(missing_ok=True)
                path.with_suffix(".wish").unlink(missing_ok=True)
            except BlockingIOError:
                self._sharers += 1
                with suppress(ValueError):
                    found |= json.loads(path.read_bytes())
            finally:
                os.close(descriptor)
        return found

    def _remember(self, names: Iterable[str]) -> None:
        """Of these, which were held, those that left a part: it is ours to remove."""
        new = {one for one in names if _NAME.fullmatch(one) and part_path(self.path(one)).exists()}
        if new:
            with replacing(self.root / PARTS) as file:
                file.write_text(json.dumps(sorted(new | self._parts().keys())) + "\n")

    def _parts(self) -> dict[str, os.stat_result]:
        """The parts that were left here and are still there."""
        try:
            names = json.loads((self.root / PARTS).read_bytes())
            known = [one for one in names if isinstance(one, str) and _NAME.fullmatch(one)]
        except (OSError, ValueError, TypeError, RecursionError):
            return {}
        found = {}
        for one in known:
            with suppress(OSError):
                found[one] = part_path(self.path(one)).lstat()
        return found

    def _there(self) -> dict[str, os.stat_result]:
        """The shards that we put there: those whose receipt still holds."""
        found = {}
        for path in (self.root / "packs").glob("*/.*.receipt.json"):
            shard = path.with_name(path.name.removeprefix(".").removesuffix(".receipt.json"))
            if receipts.read(shard) is not None:
                found[f"{shard.parent.name}/{shard.name}"] = shard.lstat()
        return found


def _now(there: os.stat_result) -> int:
    return max(time.time_ns(), there.st_atime_ns + 1)
