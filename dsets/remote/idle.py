"""What lies in the cache and may go when room is needed.

To look at all of it takes milliseconds, while the streams of this process wait. So whoever is the
only user of the cache looks once, and from then on at what it lets go of.
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dsets.fetch import receipts
from dsets.fetch.part import origin_path, part_path
from dsets.remote import parts
from dsets.remote.kept import Kept


@dataclass(frozen=True, slots=True, order=True)
class _File:
    """``partly``: it is what a fetch has left, not the whole file."""

    used_ns: int
    bytes: int
    name: str
    partly: bool


class Idle:
    """The files of the cache at ``root`` that we put there, as one user knows them.

    The folder is locked by whoever calls a method, but for ``forget``.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept = Kept(root)
        #: Those that are held now are as they were before.
        self._known: dict[str, _File] | None = None

    def forget(self) -> None:
        """Others may have changed the cache: look at all when that is needed next."""
        self._known = None

    def left(self, name: str) -> None:
        """A file is held no more: look what there is of it."""
        if self._known is None:
            return
        self._known.pop(name, None)
        if (there := self._kept.one(name)) is not None:
            self._known[name] = _File(there.st_atime_ns, there.st_size, name, False)
            return
        with suppress(OSError):
            there = part_path(parts.shard_path(self._root, name)).lstat()
            self._known[name] = _File(there.st_mtime_ns, there.st_size, name, True)

    def shrink(self, held: Container[str], room: int) -> None:
        """Remove what is not held, the one not used for longest first, until it has ``room``
        bytes."""
        known = self._known = self._look() if self._known is None else self._known
        idle = [file for name, file in known.items() if name not in held]
        total = sum(file.bytes for file in idle)
        if total <= room:
            return
        for file in sorted(idle):
            path = parts.shard_path(self._root, file.name)
            if file.partly:
                part_path(path).unlink(missing_ok=True)
                origin_path(path).unlink(missing_ok=True)
            elif self._kept.one(file.name) is not None:  # else it is gone, or not ours any more
                path.unlink(missing_ok=True)
                receipts.forget(path)
            del known[file.name]
            total -= file.bytes
            if total <= room:
                return

    def _look(self) -> dict[str, _File]:
        found = {
            name: _File(there.st_mtime_ns, there.st_size, name, True)
            for name, there in parts.left(self._root).items()
        }
        for name, there in self._kept.look().items():
            found[name] = _File(there.st_atime_ns, there.st_size, name, False)
        return found
