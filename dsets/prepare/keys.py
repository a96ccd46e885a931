"""The keys of a split's samples, counted, told apart and handed out in bounded memory.

A billion keys would not fit into a process; so they are read from the reader's index a piece at a
time, as often as they are needed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile

import numpy as np
import numpy.typing as npt

from dsets import readers
from dsets.errors import DataError
from dsets.prepare import folder
from dsets.prepare.planning import PackPlan
from dsets.readers import _keys

#: Keys whose fingerprints are sorted at a time, and the bytes of one: of 10**9 keys two agree in
#: all 128 bits by chance once in 10**20 jobs.
_SORTED = 1 << 21
_FINGERPRINT = 16
#: Bytes of fingerprints that stay in memory before they go to disk.
_SPOOLED = 1 << 25
_LONGEST_TABLE = 1 << 24


def check(plan: PackPlan, scratch: Path) -> None:
    """Read all keys once. Memory: some 100 MB at most; 16 bytes a key go to nameless files in
    ``scratch`` where there are more than two million.

    Raises:
        DataError: the reader has another number of samples than the manifest says, or two of one
            key.
        PrepareError: ``scratch`` cannot be written to.
    """
    count = 0
    with ExitStack() as stack:
        parts = math.ceil(plan.split.samples / _SORTED)
        files = [
            stack.enter_context(
                SpooledTemporaryFile(_SPOOLED // parts, dir=str(scratch), suffix=".part")
            )
            for _ in range(parts)
        ]
        for keys in readers.keys(plan.source):
            count += len(keys)
            found = _fingerprints(keys)
            with folder.writing(scratch):
                for part, file in enumerate(files):
                    file.write(found[found[:, 0] % parts == part].tobytes())
        if count != plan.split.samples:
            raise DataError(
                "another number of samples than the manifest says",
                where=_where(plan),
                expected=plan.split.samples,
                got=count,
            )
        for file in files:
            file.seek(0)
            twice = _repeated(np.frombuffer(file.read(), "<u8").reshape(-1, 2))
            if twice is not None:
                raise _shared(plan, twice)


def by_shard(plan: PackPlan) -> Iterator[Sequence[str]]:
    """The keys of each shard's rows, shard after shard."""
    pieces = readers.keys(plan.source)
    keys: list[str] = []
    for number in range(plan.shards):
        rows = len(plan.rows(number))
        while len(keys) < rows:
            if (piece := next(pieces, None)) is None:
                raise DataError("the reader's table has become shorter", where=_where(plan))
            keys += piece
        yield keys[:rows]
        del keys[:rows]


def _fingerprints(keys: Sequence[str]) -> npt.NDArray[np.uint64]:
    """uint64 (n, 2)"""
    encoded = (key.encode(errors="surrogatepass") for key in keys)  # bad ones are told of later
    digests = (hashlib.blake2b(key, digest_size=_FINGERPRINT).digest() for key in encoded)
    return np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)


def _repeated(found: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64] | None:
    """A fingerprint that comes twice, uint64 (2,), or None."""
    ordered = found[np.lexsort((found[:, 1], found[:, 0]))]
    again = np.flatnonzero((ordered[1:] == ordered[:-1]).all(axis=1))
    return ordered[again[0]] if again.size else None


def _shared(plan: PackPlan, fingerprint: npt.NDArray[np.uint64]) -> DataError:
    """The error about the key of that fingerprint, with where its first two samples lie."""
    rows: list[int] = []
    key, done = "", 0
    for keys in readers.keys(plan.source):
        found = np.flatnonzero((_fingerprints(keys) == fingerprint).all(axis=1)).tolist()
        key = keys[found[0]] if found else key
        rows += [done + at for at in found]
        done += len(keys)
    reader = readers.load(plan.source.manifest.reader)
    table = None
    if done <= _LONGEST_TABLE:  # a longer one would not fit into memory; it alone has the places
        with suppress(DataError):
            table = reader.table(plan.source)
    return DataError(
        "two samples have one key",
        where=_where(plan),
        expected=_keys.EXPECTED,
        got=_keys.shared(key, rows[:2], table),
        remedy=_keys.REMEDY,
    )


def _where(plan: PackPlan) -> str:
    return f"{plan.source.manifest.name}/{plan.split.name}"
