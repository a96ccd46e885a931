"""The shards that we put into the cache, as often as somebody looks.

A cache of a terabyte has thousands of them, and whoever takes one looks at all: a receipt is read
once, and again only when it is another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dsets.fetch import receipts
from dsets.fetch.receipts import Receipt

_BEFORE, _AFTER = receipts.receipt_path(Path("shard")).name.split("shard")


class Kept:
    """Those of the cache at ``root``; the folder is locked by whoever looks."""

    def __init__(self, root: Path) -> None:
        self._packs = os.path.join(root, "packs")
        #: Receipt's path → its time, size and inode, and what it says.
        self._read: dict[str, tuple[tuple[int, int, int], Receipt | None]] = {}

    def look(self) -> dict[str, os.stat_result]:
        """Pack and name → the file, of those whose receipt still holds."""
        before, self._read = self._read, {}
        found = {}
        for pack in _entries(self._packs):
            for entry in _entries(pack.path):
                if not (entry.name.startswith(_BEFORE) and entry.name.endswith(_AFTER)):
                    continue
                shard = entry.name[len(_BEFORE) : -len(_AFTER)]
                with suppress(OSError):  # gone meanwhile, or not ours to read
                    at = entry.stat()
                    mark = at.st_mtime_ns, at.st_size, at.st_ino
                    known = before.get(entry.path)
                    if known is None or known[0] != mark:
                        path = Path(pack.path, shard)
                        known = mark, receipts.remembered(path)
                    self._read[entry.path] = known
                    there = os.lstat(os.path.join(pack.path, shard))
                    if known[1] is not None and receipts.holds(known[1], there):
                        found[f"{pack.name}/{shard}"] = there
        return found


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries
