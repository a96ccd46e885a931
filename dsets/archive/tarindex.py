"""Where the members of a tar, or of a tar of tars, lie in the file: found once, never unpacked.

Only headers are read, since everything else is skipped by seeking. What comes out are columns, a
batch at a time, so a million members cost no more memory than a few thousand.

Where a header lies is known when the one before it is read, so a single archive is walked at the
disk's latency. Inner archives are independent: one thread walks WALKERS of them by turns and asks
for each one's next header a whole round before it reads it. (Threads instead would spend more time
passing the interpreter's lock around than a header takes.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsets.archive import tar
from dsets.archive.stream import REMEDY, Section, Stream
from dsets.archive.tar import BLOCK_BYTES
from dsets.errors import DataError

BATCH = 4096
INNER = ".tar"
WALKERS = 32
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

    With ``nested``, each member called ``*.tar`` is an archive whose members come in its place;
    not one that is hidden (``._*.tar``: what macOS puts beside a file), which is a file as others.

    Raises:
        DataError: an archive is compressed, damaged, cut short or hostile; an inner one is none.
    """
    parts = _outer(path, nested, remedy)
    lanes: deque[_Inner | Members] = deque()
    active: list[_Inner] = []
    try:
        while True:
            while len(active) < WALKERS and len(lanes) < 2 * WALKERS:
                if (part := next(parts, None)) is None:
                    break
                if isinstance(part, Section):
                    lanes.append(inner := _Inner(path, part, remedy))
                    active.append(inner)
                else:
                    lanes.append(part)
            if not lanes:
                return
            active = [inner for inner in active if inner.advance()]
            while lanes and not (isinstance(lanes[0], _Inner) and lanes[0].going):
                done = lanes.popleft()
                yield from done.found if isinstance(done, _Inner) else (done,)
    finally:
        parts.close()
        for inner in active:
            inner.close()


def inflated(path: Path, limit: int, *, remedy: str = REMEDY) -> Iterator[Members]:
    """Every file in a tar that is compressed: ``offsets`` are those in what is inflated.

    Raises:
        DataError: the archive is damaged, cut short, hostile, or holds more than ``limit`` bytes.
    """
    with Stream(path, limit, remedy=remedy) as stream:
        batch = _Batch("", 0)
        for entry, _ in tar.walk(stream):
            batch.add(entry)
            if len(batch.names) == BATCH:
                yield from batch.flushed()
        yield from batch.flushed()


def is_inner(name: str) -> bool:
    """Whether a member is an archive, by its name."""
    return name.lower().endswith(INNER) and not hidden(name)


def hidden(name: str) -> bool:
    """Whether the last part of a name begins with a dot."""
    return name.rpartition("/")[2].startswith(".")


def _outer(path: Path, nested: bool, remedy: str) -> Generator[Members | Section, None, None]:
    """Members of the outer archive, and the sections that are inner ones."""
    with Stream(path, _UNLIMITED, remedy=remedy, sparsely=True) as stream:
        _check_plain(stream)
        batch = _Batch("", 0)
        for entry, _ in tar.walk(stream):
            if nested and is_inner(entry.name):
                yield from batch.flushed()
                yield Section(entry.name, entry.offset, entry.bytes)
            else:
                batch.add(entry)
                if len(batch.names) == BATCH:
                    yield from batch.flushed()
        yield from batch.flushed()


class _Inner:
    """The walk through an inner archive: ``found`` is whole when it is not ``going`` any more."""

    def __init__(self, path: Path, part: Section, remedy: str) -> None:
        self.found: list[Members] = []
        self.going = True
        self._stream = Stream(path, _UNLIMITED, remedy=remedy, section=part, sparsely=True)
        self._entries = tar.walk(self._stream)
        self._batch = _Batch(part.name, part.start)

    def advance(self) -> bool:
        """Read one header, and ask for the next; False when there was none."""
        one = next(self._entries, None)
        if one is None:
            self.found.extend(self._batch.flushed())
            self.going = False
            self.close()
            return False
        entry = one[0]
        self._stream.announce(entry.offset + entry.bytes + -entry.bytes % BLOCK_BYTES, BLOCK_BYTES)
        self._batch.add(entry)
        if len(self._batch.names) == BATCH:
            self.found.extend(self._batch.flushed())
        return True

    def close(self) -> None:
        self._stream.close()


def _check_plain(stream: Stream) -> None:
    if stream.gzip:
        raise DataError(
            "a compressed archive cannot be read by offset",
            where=stream.where,
            expected="a plain tar",
            got="gzip",
            remedy="unpack it once, beside: gunzip < FILE.tar.gz > FILE.tar; that takes its own "
            "size or somewhat more",
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
