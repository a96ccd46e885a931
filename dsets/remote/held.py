"""What each user of the cache holds: a file below ``held``, whose lock its user keeps.

A file that can be locked was left by a dead process, or by a pack that was dropped while the folder
was locked: whoever looks next removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

from dsets.errors import BusyError
from dsets.locks import holding
from dsets.remote import parts

#: A process, and a number: other files in the folder are not ours.
_NAME = re.compile(r"[0-9]+-[0-9a-f]{8}\.(json|wish)")


class Held:
    """The file of one user; it does not refer to the user, whose finaliser ends it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = self.wish = root
        self._file: int | None = None
        self._process = 0
        self._alone_ns = -1
        #: Threads that are still at work when the interpreter exits meet its end here.
        self._lock = threading.Lock()

    @property
    def here(self) -> bool:
        """Whether this process has it."""
        return self._file is not None and self._process == os.getpid()

    @property
    def alone(self) -> bool:
        """Whether nobody else uses the cache, nor has since ``found_alone``. The folder is locked.

        The folder's time tells of whoever came and went meanwhile, but for the clock's last tick:
        then what he has left is not seen. Whoever is still here is always seen.
        """
        folder = self.root / "held"
        with suppress(FileNotFoundError):  # somebody removed the cache
            lists = [name for name in os.listdir(folder) if name.endswith(".json")]
            return lists == [self.path.name] and folder.stat().st_mtime_ns == self._alone_ns
        return False

    def found_alone(self) -> None:
        """``others`` has found nobody. The folder is locked."""
        with suppress(FileNotFoundError):
            self._alone_ns = (self.root / "held").stat().st_mtime_ns

    def begin(self) -> None:
        """A new one, for this process. The folder is locked."""
        self._leave()
        self._lock = threading.Lock()  # the parent's may have been held at the fork
        self.path = self.root / "held" / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self.wish = self.path.with_suffix(".wish")
        self._make()
        self._alone_ns = -1
        self._process = os.getpid()

    def _make(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        made = os.open(self.path, flags, 0o666)
        fcntl.flock(made, fcntl.LOCK_EX)
        self._file = made

    def write(self, held: dict[str, int]) -> None:
        """Shard → bytes. The folder is locked."""
        with self._lock:
            if self._file is not None:
                if not os.fstat(self._file).st_nlink:  # somebody removed the cache
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    before = self._file
                    self._make()
                    os.close(before)
                data = json.dumps(held).encode()
                os.pwrite(self._file, data, 0)
                os.ftruncate(self._file, len(data))

    def remove(self) -> None:
        """It holds nothing any more. The folder is locked."""
        _bury(self.root, self.path)
        with self._lock:
            self._leave()

    def end(self) -> None:
        """Its user was dropped, or the process exits. Waits for nobody: a finaliser may run where
        this very thread has the folder locked for another user. Then the file stays, unlocked."""
        if self._process != os.getpid():
            self._leave()
            return
        with suppress(BusyError, OSError):
            if self._file is not None and self.path.exists():
                with holding(self.root, folder=True, wait=False):
                    _bury(self.root, self.path)
        with self._lock:
            self._leave()

    def _leave(self) -> None:
        if self._file is not None:  # a forked child's is a copy: the lock stays with the parent
            os.close(self._file)
            self._file = None


def ours(path: Path) -> bool:
    """Whether a file of this name in the folder is a user's, or its wish."""
    return _NAME.fullmatch(path.name) is not None


def others(root: Path, mine: Path) -> tuple[dict[str, int], Counter[int]]:
    """What others than the owner of the file ``mine`` hold, shard → bytes; and how many users
    there are of each process. The files of the dead are removed. The folder is locked."""
    found: dict[str, int] = {}
    users: Counter[int] = Counter()
    for path in (root / "held").glob("*.json"):
        if path == mine or not ours(path):
            continue
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _bury(root, path)
        except BlockingIOError:
            users[int(path.name.partition("-")[0])] += 1
            found |= _read(path)
        finally:
            os.close(descriptor)
    return found, users


def _bury(root: Path, path: Path) -> None:
    """Remove a user's file, its wish, and remember what it began to fetch."""
    parts.remember(root, _read(path))
    path.unlink(missing_ok=True)
    path.with_suffix(".wish").unlink(missing_ok=True)


def _read(path: Path) -> dict[str, int]:
    with suppress(OSError, ValueError, RecursionError):
        table = json.loads(path.read_bytes())
        if isinstance(table, dict):
            return {name: size for name, size in table.items() if type(size) is int}
    return {}
