"""Which records of a split have an id that an earlier file of it has. Found once, then kept.

Within a file the file's own index tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsets.manifest.schema import Source
from dsets.readers import _index_file, _youtube8m_index
from dsets.readers._cache import DECODED
from dsets.readers._youtube8m_options import Options

VERSION = 1
_DTYPES = {"shard": "<i4", "row": "<i8"}
_FINGERPRINT = 16  # bytes: two of 10**9 ids agree by chance once in 10**20 splits
_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Repeats:
    """The rows of each file, by the file's number; of most splits there are none."""

    rows: dict[int, frozenset[int]]

    def of(self, shard: int) -> frozenset[int]:
        return self.rows.get(shard, _NONE)


def opened(source: Source, options: Options) -> Repeats:
    """The repeats of a split: from memory, from the store, or else found now and kept there.

    Raises:
        DataError: a file is not there, or no file of records at all.
    """
    if len(options.shards) == 1:
        return Repeats({})
    files = [_index_file.identity(source.path(name)) for name in options.shards]
    key = [VERSION, hashlib.sha256(repr(files).encode()).hexdigest()]
    known = (__name__, repr(key))
    with DECODED.lock:
        found: Repeats | None = DECODED.get(known)
    if found is None:
        # Under no lock: the files' indexes take the same ones. Two who find it write the same.
        path = _index_file.path(source, "ids")
        found = _read(path, key, len(options.shards))
        if found is None:
            found = _found(source, options)
            with suppress(OSError):  # a store that cannot be written to still can be read from
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, key, found)
        with DECODED.lock:
            DECODED.put(known, found, 64 * sum(map(len, found.rows.values())))
    return found


def _read(path: Path, key: list[object], shards: int) -> Repeats | None:
    kept = _index_file.read(path, key, _DTYPES)
    if kept is None or set(kept.columns) != set(_DTYPES):
        return None
    shard, row = kept.columns["shard"], kept.columns["row"]
    if shard.ndim != 1 or shard.shape != row.shape or not _within(shard, shards):
        return None
    return _grouped(shard, row)


def _within(shard: npt.NDArray[np.int32], shards: int) -> bool:
    return not len(shard) or bool(shard.min() >= 0 and shard.max() < shards)


def _write(path: Path, key: list[object], made: Repeats) -> None:
    pairs = [(shard, row) for shard, rows in made.rows.items() for row in sorted(rows)]
    both = np.array(pairs, np.int64).reshape(-1, 2)
    columns = {"shard": both[:, 0].astype("<i4"), "row": np.ascontiguousarray(both[:, 1])}
    _index_file.write(path, key, {}, columns)


def _grouped(shard: npt.NDArray[np.int32], row: npt.NDArray[np.int64]) -> Repeats:
    rows = {number: frozenset(row[shard == number].tolist()) for number in set(shard.tolist())}
    return Repeats(rows)


def _found(source: Source, options: Options) -> Repeats:
    """Memory: about 40 bytes a record."""
    digests, rows, counts = bytearray(), list[npt.NDArray[np.int64]](), list[int]()
    for name in options.shards:
        index = _youtube8m_index.opened(source, options, name)
        mine = []
        for row, found in _ids(index):
            digests += hashlib.blake2b(found, digest_size=_FINGERPRINT).digest()
            mine.append(row)
        rows.append(np.array(mine, np.int64))
        counts.append(len(mine))
    fingerprints = np.frombuffer(bytes(digests), "<u8").reshape(-1, 2)
    order = np.lexsort((fingerprints[:, 1], fingerprints[:, 0]))  # stable: the first stays first
    ordered = fingerprints[order]
    again = order[1:][(ordered[1:] == ordered[:-1]).all(axis=1)]
    shard = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return _grouped(shard[again], np.concatenate(rows)[again])


def _ids(index: _youtube8m_index.Index) -> Iterator[tuple[int, bytes]]:
    """The rows that go by an id, and it."""
    start, ids = 0, index.columns["id"].tobytes()
    for row, end in enumerate(index.columns["id_end"].tolist()):
        if end > start:
            yield row, ids[start:end]
        start = end
