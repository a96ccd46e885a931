"""Which samples of a pack can be read, as far as this process has looked.

A sample is unreadable when its bytes have another CRC-32C than the pack recorded, when its storage
does not answer, and when what is stored there cannot be decoded. Each is looked at once a process
(``verify="first"``), every time ("always"), or never; where storage has once failed, always.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets import extension
from dsets.errors import PackError, UsageError
from dsets.field import Field
from dsets.numbers import written
from dsets.pack import Pack, checksums
from dsets.pack.compared import Compared, Numbers
from dsets.pack.digests import hash_of
from dsets.pack.guard import guard
from dsets.pack.rows import KEY
from dsets.stream.gather import Column

VERIFY = ("first", "always", "never")
#: Files looked at after each batch for whether they are still those that were mapped. A look takes
#: 3 us, so these take less than 1 % of making 256 crops of photographs, 8 ms.
_FILES_A_BATCH = 16

#: Why a sample is unreadable whose key, or what its random choices are keyed by, is damaged.
DAMAGED_KEY = "key: its bytes have another checksum"


class Readable:
    """What is known of one pack in this process: shared by its streams and their threads."""

    def __init__(self, pack: Pack) -> None:
        # Not the pack itself, which is the key under which this is found.
        self._shards = [pack.rows(shard) for shard in range(len(pack.index.shards))]
        self._path = pack.path
        self._starts = pack.starts
        self._fields = pack.fields
        self._rows: dict[str, Any] = {}
        self._strings: dict[str, Any] = {}
        self._expected: dict[str, Column] = {}
        self._key_hash = Column(pack.reserved("key_hash"), pack.starts)
        for field in (*pack.fields, KEY):
            self._expected[field.name] = Column(
                pack.reserved(f"checksum/{field.name}"), pack.starts
            )
            if extension.native is None or not extension.checksum:
                continue
            arrays = pack.reserved(field.name)
            if field.fixed and (width := arrays[0].nbytes // len(arrays[0])):
                self._rows[field.name] = extension.native.rows(arrays, width)
            if field.stored_shape == (None,) and field.dtype == "uint8":
                bounds = pack.reserved(f"offsets/{field.name}")
                self._strings[field.name] = extension.native.strings(arrays, bounds)
        self._lock = threading.RLock()
        self._seen = Compared(len(pack))
        self._left = len(pack)
        self._failing: set[int] = set()
        self._noted = 0
        self._turn = 0
        #: Why a sample cannot be read.
        self.reasons: dict[int, str] = {}

    def renew(self) -> None:
        """In a forked child: a lock of its own."""
        self._lock = threading.RLock()

    def refuse(self, number: int, reason: str) -> None:
        """It was found that a sample cannot be read."""
        with self._lock:
            self.reasons.setdefault(number, reason)

    def bad(self, index: Numbers, verify: str) -> npt.NDArray[np.bool_]:
        """Which of these samples, (m,), cannot be read; looks where that is due.

        Raises:
            PackError: a shard was cut short, changed or replaced.
        """
        due = self._due(index, verify)
        if len(due):
            self._look(due)
        if not self.reasons:
            return np.zeros(len(index), np.bool_)
        with self._lock:
            return np.isin(index, np.fromiter(self.reasons, np.int64))

    @property
    def faults(self) -> int:
        """Reads that storage did not answer so far."""
        return guard().faults(-1)

    def whole(self, faults: int, index: Numbers) -> bool:
        """After reading ``index``: True when storage answered, so that it is what is stored.

        ``faults`` is how many there were before. When it is not true, samples must be looked at
        again: those in the files that failed are from now on looked at always.

        Raises:
            PackError: a shard was cut short, changed or replaced.
        """
        if self.faults != faults:
            for shard in self._note():
                self._shards[shard].unchanged()
            return False
        for shard in self._looked_at(index):
            self._shards[shard].unchanged()
        return True

    def unchanged(self) -> None:
        """Make sure that all shards are still those that were mapped.

        Raises:
            PackError: one was cut short, changed or replaced.
        """
        for shard in self._shards:
            shard.unchanged()

    def _looked_at(self, index: Numbers) -> Iterable[int]:
        """The shards of these samples, or where they are too many, those whose turn it is."""
        count = len(self._shards)
        if count <= _FILES_A_BATCH:
            return range(count)
        read: list[int] = np.unique(self._shard(index)).tolist()
        if len(read) <= _FILES_A_BATCH:
            return read
        first = self._turn  # threads may take the same turn: no shard is left out by that
        self._turn = (first + _FILES_A_BATCH) % count
        return [(first + step) % count for step in range(_FILES_A_BATCH)]

    def _note(self) -> list[int]:
        """Which shards' storage has failed so far."""
        now = self.faults
        failing = [number for number, shard in enumerate(self._shards) if shard.faults]
        with self._lock:
            self._failing.update(failing)
            self._noted = now
        return failing

    def _due(self, index: Numbers, verify: str) -> Numbers:
        if verify == "always":
            return index
        if self.faults != self._noted:
            self._note()
        due = self._seen.missing(index) if verify == "first" and self._left else index[:0]
        if self._failing:
            with self._lock:
                again = np.isin(self._shard(index), np.fromiter(self._failing, np.int64))
            due = np.append(due, index[again])
        return due

    def _shard(self, index: Numbers) -> Numbers:
        return np.searchsorted(self._starts, index, side="right") - 1

    def _look(self, index: Numbers) -> None:
        index = np.unique(index)
        wrong = self._wrong_keys(index)
        for field in self._fields:
            expected = np.empty(len(index), np.uint32)
            self._expected[field.name].take(index, expected)
            for number in index[self._sums(field, index) != expected].tolist():
                wrong.setdefault(number, f"{field.name}: its bytes have another CRC-32C")
        for shard in np.unique(self._shard(np.array(list(wrong), np.int64))).tolist():
            self._shards[shard].unchanged()
        with self._lock:
            for number, reason in wrong.items():
                self.refuse(number, reason)
            self._left -= len(self._seen.missing(index))
            self._seen.add(index)

    def _wrong_keys(self, index: Numbers) -> dict[int, str]:
        """Which samples' keys, or what their random choices are keyed by, are not as recorded."""
        found = self._keys(index)
        hashes, expected = np.empty(len(index), np.uint64), np.empty(len(index), np.uint32)
        self._key_hash.take(index, hashes)
        self._expected["key"].take(index, expected)
        bounds = [0, *accumulate(map(len, found))]
        sums = checksums.of_ranges(np.frombuffer(b"".join(found), np.uint8), bounds)
        whole = np.array([hash_of(key) for key in found], np.uint64) == hashes
        wrong = index[(sums != expected) | ~whole]
        return {number: DAMAGED_KEY for number in wrong.tolist()}

    def _keys(self, index: Numbers) -> list[bytes]:
        """Their bytes as they are stored; none of a key whose bounds lead outside."""
        if "key" in self._strings:
            values = extension.native.string_values(self._strings["key"], index)
            return [value or b"" for value in values]
        found = []
        for shard, number in zip(self._shard(index).tolist(), index.tolist(), strict=True):
            arrays, row = self._shards[shard].arrays, number - int(self._starts[shard])
            begin, end = arrays["offsets/key"][row : row + 2].tolist()
            found.append(arrays["key"][begin:end].tobytes())
        return found

    def _sums(self, field: Field, index: Numbers) -> npt.NDArray[np.uint32]:
        sums = np.zeros(len(index), np.uint32)
        if field.name in self._rows:
            extension.native.row_checksums(self._rows[field.name], index, sums)
            return sums
        strings = self._strings.get(field.name)
        if strings and not extension.native.string_checksums(strings, index, sums):
            return sums
        shards = self._shard(index)
        for place, (shard, number) in enumerate(zip(shards.tolist(), index.tolist(), strict=True)):
            row = number - int(self._starts[shard])
            try:
                stored = np.ascontiguousarray(self._shards[shard].stored(field, row))
            except PackError as error:
                self._shards[shard].unchanged()
                self.refuse(number, str(error))
                continue
            flat = stored.reshape(-1).view(np.uint8)
            sums[place] = checksums.of_ranges(flat, (0, stored.nbytes))[0]
        return sums


_known: weakref.WeakKeyDictionary[Pack, Readable] = weakref.WeakKeyDictionary()
_knowing = threading.Lock()


def of(pack: Pack) -> Readable:
    """What this process knows of a pack."""
    with _knowing:
        if pack not in _known:
            _known[pack] = Readable(pack)
        return _known[pack]


def _after_fork() -> None:
    """A lock that another thread held at the fork would be held for ever."""
    global _knowing
    _knowing = threading.Lock()
    for each in list(_known.values()):
        each.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def check(verify: object) -> str:
    """``verify``, if there is such a thing.

    Raises:
        UsageError: there is not.
    """
    if verify not in VERIFY:
        raise UsageError(
            "bad verify", where="stream", expected=" or ".join(VERIFY), got=written(verify)
        )
    return str(verify)
