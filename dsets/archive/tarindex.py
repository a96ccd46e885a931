"""Where the members of a tar, or of a tar of tars, lie in the file: found once, never unpacked.

Only headers are read, since everything else is skipped by seeking. What comes out are columns, a
batch at a time, so a million members cost no more memory than a few thousand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsets.archive import tar
from dsets.archive.stream import REMEDY, Section, Stream
from dsets.errors import DataError

BATCH = 4096
INNER = ".tar"
WALKERS = 8
#: What is skipped costs nothing, so the file's end is the only limit; it tells what is cut short.
_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class Members:
    """Some members of one archive: ``names``, ``offsets`` into the file and ``bytes``, int64 (n,).

    ``archive`` is the name of the inner archive that they lie in, or empty.
    """

    archive: str
    names: list[str]
    offsets: npt.NDArray[np.int64]
    bytes: npt.NDArray[np.int64]


def walk(path: Path, *, nested: bool, remedy: str = REMEDY) -> Iterator[Members]:
    """Every file in the tar at ``path``, in its order, by batches of at most BATCH.

    With ``nested``, each member called ``*.tar`` is an archive whose members come in its place.
    Several of them are walked at a time: a disk brings many headers as soon as one.

    Raises:
        DataError: an archive is compressed, damaged, cut short or hostile; an inner one is none.
    """
    ahead: deque[Future[list[Members]]] = deque()
    with ThreadPoolExecutor(WALKERS, thread_name_prefix="dsets-index") as pool:
        try:
            for part in _outer(path, nested, remedy):
                if isinstance(part, Section):
                    ahead.append(pool.submit(_inner, path, part, remedy))
                else:
                    ahead.append(pool.submit(list, [part]))
                if len(ahead) > 2 * WALKERS:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _outer(path: Path, nested: bool, remedy: str) -> Iterator[Members | Section]:
    """Members of the outer archive, and the sections that are inner ones."""
    with Stream(path, _UNLIMITED, remedy=remedy) as stream:
        _check_plain(stream)
        batch = _Batch("", 0)
        for entry, _ in tar.walk(stream):
            if nested and entry.name.lower().endswith(INNER):
                yield from batch.flushed()
                yield Section(entry.name, entry.offset, entry.bytes)
            else:
                batch.add(entry)
                if len(batch.names) == BATCH:
                    yield from batch.flushed()
        yield from batch.flushed()


def _inner(path: Path, part: Section, remedy: str) -> list[Members]:
    found: list[Members] = []
    with Stream(path, _UNLIMITED, remedy=remedy, section=part) as stream:
        batch = _Batch(part.name, part.start)
        for entry, _ in tar.walk(stream):
            batch.add(entry)
            if len(batch.names) == BATCH:
                found.extend(batch.flushed())
        found.extend(batch.flushed())
    return found


def _check_plain(stream: Stream) -> None:
    if stream.gzip:
        raise DataError(
            "a compressed archive cannot be read by offset",
            where=stream.where,
            expected="a plain tar",
            got="gzip",
            remedy="unpack it with gunzip",
        )


class _Batch:
    """Members of one archive, which begins at byte ``start`` of the file, being gathered."""

    def __init__(self, archive: str, start: int) -> None:
        self.archive = archive
        self.start = start
        self.names: list[str] = []
        self.offsets: list[int] = []
        self.bytes: list[int] = []

    def add(self, entry: tar.Entry) -> None:
        self.names.append(entry.name)
        self.offsets.append(self.start + entry.offset)
        self.bytes.append(entry.bytes)

    def flushed(self) -> Iterator[Members]:
        """What was gathered, if anything."""
        if self.names:
            offsets, sizes = np.array(self.offsets, np.int64), np.array(self.bytes, np.int64)
            yield Members(self.archive, self.names, offsets, sizes)
            self.names, self.offsets, self.bytes = [], [], []
