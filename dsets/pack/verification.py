"""Prove that a pack is what its index says, or say which file, field and sample is not.

Only a file whose sha256 is right is given to HDF5, to compare the places in the index with its own.
In a damaged shard every sample's CRC-32C is compared; what is in no sample is HDF5's metadata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial, reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets import codecs
from dsets.errors import DataError, FetchError, OfflineError, PackError, SpaceError
from dsets.field import Field
from dsets.pack import damage, digests, hdf5, index
from dsets.pack.mapping import check_file, open_plain
from dsets.pack.reader import Pack
from dsets.pack.rows import KEY, map_datasets
from dsets.pack.schema import INDEX, MAJOR, MINOR, STATISTICS, Extent, Index, Shard, StatisticsFile
from dsets.pack.statistics import Statistics
from dsets.progress import Event, Progress, ignore

BLOCK = 2**22
#: Images of varying size held at a time.
VARYING = 64


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: in which file, and in which sample (of the pack) if in one."""

    file: str
    message: str
    field: str | None = None
    sample: int | None = None
    key: str | None = None

    @property
    def finding(self) -> str:
        """What is wrong in the file, and in which sample."""
        if self.sample is None:
            return self.message
        key = f"key {self.key!r}" if self.key is not None else "key unreadable"
        return f"{self.field}, sample {self.sample} ({key}): {self.message}"

    def __str__(self) -> str:
        return f"{self.file}{': ' if self.sample is None else ', '}{self.finding}"


def verify(path: str | Path, progress: Progress = ignore, *, deep: bool = False) -> list[Problem]:
    """Everything that is wrong with the pack in a folder; nothing when it is right.

    ``deep`` also compares every sample's CRC-32C and adds the statistics up again from the pixels.
    """
    folder = Path(path)
    try:
        content = index.read(folder)
    except PackError as error:
        return [Problem(INDEX, _told(error, folder / INDEX, folder))]
    written = (folder / INDEX).read_bytes()
    return walk(lambda: Pack.open(folder), folder, content, written, progress, deep=deep)


def walk(
    opened: Callable[[], Pack],
    folder: Path,
    content: Index,
    written: bytes,
    progress: Progress,
    *,
    deep: bool,
    having: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
    renew: Callable[[str], bool] = lambda name: False,
) -> list[Problem]:
    """As ``verify``, for a pack whose files need not be there together.

    Args:
        opened: gives the pack.
        written: the bytes of its index, which says ``content``.
        having: in its block the file of this name is in ``folder``; a FetchError is a problem of
            that file.
        renew: whether a file that is not what the index says was had anew.
    """
    walking = _Verification(opened, folder, content, written, progress, deep, having, renew)
    return list(walking.run())


class _Verification:
    """One walk over a pack: what has been read, and which keys were seen."""

    def __init__(
        self,
        opened: Callable[[], Pack],
        folder: Path,
        content: Index,
        written: bytes,
        progress: Progress,
        deep: bool,
        having: Callable[[str], AbstractContextManager[None]],
        renew: Callable[[str], bool],
    ) -> None:
        self.opened = opened
        self.written = written
        self.having = having
        self.renew = renew
        self.folder = folder
        self.index = content
        self.progress = progress
        self.deep = deep
        self.done = 0
        self.total = sum(shard.bytes for shard in content.shards)
        self.total += content.statistics.bytes if content.statistics else 0
        self.seen: dict[str, int] = {}
        #: False when something was found after which the digests over all shards would be noise.
        self.whole = True

    def run(self) -> Iterator[Problem]:
        self._tell()
        yield from self._index()
        start = 0
        for shard in self.index.shards:
            problems = self._there(shard.name, partial(self._shard, shard, start))
            self.whole &= not problems
            yield from problems
            start += shard.samples
        if self.whole and digests.samples_digest(self.seen) != self.index.samples_digest:
            yield Problem(INDEX, "the samples digest is not that of the keys in the shards")
        yield from self._there(STATISTICS, self._statistics)
        self._tell(finished=True)

    def _there(self, name: str, check: Callable[[], Iterator[Problem]]) -> list[Problem]:
        """What is wrong with a file, looked at while it is there."""
        try:
            with self.having(name):
                return list(check())
        except (OfflineError, SpaceError):
            raise
        except FetchError as error:
            return [Problem(name, str(error).removeprefix(f"{name}: "))]

    def _tell(self, finished: bool = False) -> None:
        self.progress(Event(str(self.folder), self.done, self.total, finished=finished))

    def _index(self) -> Iterator[Problem]:
        # A later minor version may write more than this one knows.
        if self.index.format == (MAJOR, MINOR) and index.render(self.index) != self.written:
            yield Problem(INDEX, "not the bytes that dsets writes for what it says: it was changed")

    def _file(self, name: str, size: int, sha256: str) -> list[Problem]:
        """What is wrong with a file as a whole, and stays so where it can be had anew."""
        before = self.done
        problems = list(self._read(name, size, sha256))
        if problems and self.renew(name):
            self.done = before
            problems = list(self._read(name, size, sha256))
        return problems

    def _read(self, name: str, size: int, sha256: str) -> Iterator[Problem]:
        path = self.folder / name
        before = self.done
        digest = hashlib.sha256()
        try:
            check_file(path, size)
            with open_plain(path) as file:
                while block := file.read(BLOCK):
                    digest.update(block)
                    self.done += len(block)
                    self._tell()
        except (PackError, OSError) as error:
            self.done = before + size
            yield Problem(name, _told(error, path))
            return
        if digest.hexdigest() != sha256:
            yield Problem(name, f"sha256 is {digest.hexdigest()}, the index says {sha256}")

    def _layout(self, name: str, extents: Mapping[str, Extent]) -> Iterator[Problem]:
        """How the places in the index differ from those that HDF5 finds."""
        try:
            found = hdf5.offsets(self.folder / name)
        except PackError as error:
            yield Problem(name, _told(error, self.folder / name))
            return
        for dataset in sorted(set(found) | set(extents)):
            if found.get(dataset) != extents.get(dataset):
                yield Problem(
                    INDEX,
                    f"{name}: {dataset} lies elsewhere: index {extents.get(dataset)}, "
                    f"HDF5 {found.get(dataset)}",
                )

    def _shard(self, shard: Shard, start: int) -> Iterator[Problem]:
        whole = self._file(shard.name, shard.bytes, shard.sha256)
        try:
            arrays = map_datasets(self.folder / shard.name, shard.bytes, shard.datasets)
        except PackError:
            yield from whole
            return
        layout = [] if whole else list(self._layout(shard.name, shard.datasets))
        samples = []
        bad_keys: set[int] = set()
        if whole or layout or self.deep:
            bad_keys = set(damage.rows(arrays, KEY))
            for field in (*self.index.fields, KEY):
                for row in damage.rows(arrays, field):
                    key = None if row in bad_keys else damage.key(arrays, row)
                    message = "damaged: its bytes have another CRC-32C"
                    samples.append(Problem(shard.name, message, field.name, start + row, key))
        hashes = list(self._keys(shard, arrays, start, bad_keys))
        if whole and not samples and not hashes:
            yield Problem(shard.name, f"damaged HDF5 metadata or padding: {whole[0].message}")
        yield from layout
        yield from samples
        yield from hashes

    def _keys(
        self, shard: Shard, arrays: Mapping[str, np.ndarray], start: int, bad: set[int]
    ) -> Iterator[Problem]:
        """Keys that repeat, and hashes that are not of their keys."""
        hashes = arrays["key_hash"].tolist()
        for row in range(shard.samples):
            if row in bad:
                continue
            key = damage.key(arrays, row)
            if key is None:
                yield Problem(shard.name, "the key is not text", "key", start + row)
                continue
            if digests.key_hash(key) != hashes[row]:
                message = "damaged: not the hash of its key"
                yield Problem(shard.name, message, "key_hash", start + row, key)
            if key in self.seen:
                message = f"the key of sample {self.seen[key]} again"
                yield Problem(shard.name, message, "key", start + row, key)
            self.seen.setdefault(key, start + row)

    def _statistics(self) -> Iterator[Problem]:
        recorded = self.index.statistics
        if recorded is None:
            return
        problems = self._file(STATISTICS, recorded.bytes, recorded.sha256)
        if not problems:
            problems += self._layout(STATISTICS, recorded.datasets)
        yield from problems
        if problems or not self.whole:
            return
        try:
            pack = self.opened()
            kept = pack.statistics
        except PackError as error:
            yield Problem(STATISTICS, _told(error, self.folder / STATISTICS))
            return
        images = int(kept.images) if kept else 0
        if images != len(pack):
            yield Problem(STATISTICS, f"they count {images} images of {len(pack)} samples")
        elif self.deep and not _are_of(pack, recorded):
            yield Problem(STATISTICS, "they are not those of the pixels in the shards")


def _told(error: PackError | OSError, *known: Path) -> str:
    """What an error says, without the file that the problem names already."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = str(error)
    for path in known:
        text = text.removeprefix(f"{path}: ")
    return text


def _are_of(pack: Pack, recorded: StatisticsFile) -> bool:
    try:
        return recount(pack, recorded.field).digest == recorded.digest
    except DataError:  # something that is stored there is no image
        return False


def recount(pack: Pack, name: str) -> Statistics:
    """The statistics of a pack's pixels, a block of samples of one shard at a time."""
    field = next(field for field in pack.fields if field.name == name)
    size = int(np.prod([size or 1 for size in field.shape]))
    step = max(1, BLOCK // size) if field.fixed else VARYING
    blocks: Iterator[Any] = (
        _block(pack, field, np.arange(first, min(first + step, end)))
        for begin, end in pairwise(pack.starts.tolist())
        for first in range(begin, end, step)
    )
    if field.encoded:
        blocks = ([codecs.decode(data.tobytes()) for data in block] for block in blocks)
    return reduce(Statistics.merge, (Statistics.of(block, name) for block in blocks))


def _block(pack: Pack, field: Field, numbers: npt.NDArray[np.int64]) -> Any:
    """Their values, whose bytes were compared before, and whose statistics are afterwards."""
    with pack.holding(numbers):
        return pack.stack(field, numbers)
