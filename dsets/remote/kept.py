"""The shards that we put into the cache, as often as somebody looks.

A cache of a terabyte has thousands of them, and whoever takes one looks at all: a receipt is read
once, and again only when it is another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from dsets.fetch import receipts
from dsets.fetch.receipts import Receipt

_BEFORE, _AFTER = receipts.receipt_path(Path("shard")).name.split("shard")

#: A receipt's time, size and inode, and what it says.
_Known = tuple[tuple[int, int, int], Receipt | None]


class Kept:
    """Those of the cache at ``root``; the folder is locked by whoever looks."""

    def __init__(self, root: Path) -> None:
        self._packs = os.path.join(root, "packs")
        #: Receipt's path → what was read.
        self._read: dict[str, _Known] = {}

    def look(self) -> dict[str, os.stat_result]:
        """Pack and name → the file, of those whose receipt still holds."""
        before, self._read = self._read, {}
        found = {}
        for pack in _entries(self._packs):
            for entry in _entries(pack.path):
                if not (entry.name.startswith(_BEFORE) and entry.name.endswith(_AFTER)):
                    continue
                shard = entry.name[len(_BEFORE) : -len(_AFTER)]
                there = self._file(os.path.join(pack.path, shard), entry.path, before)
                if there is not None:
                    found[f"{pack.name}/{shard}"] = there
        return found

    def one(self, name: str) -> os.stat_result | None:
        """As ``look`` finds this one now; None where it would not."""
        pack, shard = os.path.split(os.path.join(self._packs, name))
        receipt = os.path.join(pack, f"{_BEFORE}{shard}{_AFTER}")
        return self._file(os.path.join(pack, shard), receipt, self._read)

    def _file(self, path: str, receipt: str, before: Mapping[str, _Known]) -> os.stat_result | None:
        with suppress(OSError):  # gone meanwhile, or not ours to read
            at = os.stat(receipt)
            mark = at.st_mtime_ns, at.st_size, at.st_ino
            known = before.get(receipt)
            if known is None or known[0] != mark:
                known = mark, receipts.remembered(Path(path))
            self._read[receipt] = known
            there = os.lstat(path)
            if known[1] is not None and receipts.holds(known[1], there):
                return there
        return None


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries
