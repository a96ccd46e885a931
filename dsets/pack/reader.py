"""Read a pack: a sequence of samples, memory-mapped, without HDF5."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from dsets.closing import Closing
from dsets.errors import PackError, UsageError
from dsets.field import Field
from dsets.pack import index
from dsets.pack.compared import Numbers
from dsets.pack.mapping import check_file
from dsets.pack.rows import KEY, Rows, map_datasets
from dsets.pack.schema import STATISTICS, Index
from dsets.pack.statistics import Statistics

if TYPE_CHECKING:
    from dsets.fetch.stop import Stop
    from dsets.remote.ahead import Ahead


class Pack(Closing):
    """A pack on disk, as a sequence of samples.

    ``pack[i]`` is a dict of one value a field, ``pack[a:b]`` of one stack a field (a list where
    sizes vary), each with the sample's ``key``. These are copies, yours to change, and images are
    height, width, channels. When a process first reads a sample so, its bytes are compared with
    their CRC-32Cs. ``arrays`` gives the memory-mapped data itself, compared with nothing.

    Shards are mapped when first touched. A pack may be used by many threads, survives ``fork`` and
    travels by pickle as its path.
    """

    __slots__ = ("__weakref__", "_shards", "_statistics", "digest", "index", "path", "starts")

    def __init__(self, path: Path, content: Index) -> None:
        """Use ``Pack.open``."""
        self.path = path
        self.index = content
        #: The pack digest.
        self.digest = content.digest
        #: int64 (shards + 1,): the number of each shard's first sample, and of samples at the end.
        self.starts: npt.NDArray[np.int64] = np.cumsum(
            [0, *(shard.samples for shard in content.shards)], dtype=np.int64
        )
        self.starts.flags.writeable = False
        self._shards: list[Rows | None] = [None] * len(content.shards)
        self._statistics: Statistics | None = None

    @classmethod
    def open(cls, path: str | Path) -> Pack:
        """The pack in a folder. Reads the index and the sizes of the files, no data.

        ``https://``, ``s3://`` and ``gs://`` addresses: see ``dsets.remote.open``.

        Raises:
            UsageError: not a path at all.
            PackError: no pack, or one that is damaged, hostile, or of an unknown version.
        """
        if not isinstance(path, str | os.PathLike):
            raise UsageError("not a path", where="Pack.open", expected="a folder", got=repr(path))
        if isinstance(path, str) and "://" in path:
            from dsets import remote

            return remote.open(path)
        folder = Path(path).absolute()
        content = index.read(folder)
        for shard in content.shards:
            check_file(folder / shard.name, shard.bytes)
        if content.statistics:
            check_file(folder / STATISTICS, content.statistics.bytes)
        return cls(folder, content)

    def close(self) -> None:
        """Let go of what is held; the pack may be used again. A pack on disk holds nothing but its
        maps, which end with the last array that needs them. Idempotent."""

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.index.fields

    @property
    def split(self) -> str:
        return self.index.split

    @property
    def samples_digest(self) -> str:
        """The digest of the ordered keys, which the order of a stream depends on."""
        return self.index.samples_digest

    @property
    def statistics(self) -> Statistics | None:
        """The exact statistics of a training pack; None for the others.

        Raises:
            PackError: they are not the ones that the index names.
        """
        recorded = self.index.statistics
        if recorded is not None and self._statistics is None:
            arrays = map_datasets(self.path / STATISTICS, recorded.bytes, recorded.datasets)
            found = Statistics(
                images=arrays["images"],
                pixels=arrays["pixels"],
                sum=arrays["sum"],
                square_sum=arrays["square_sum"],
                outer_sum=arrays["outer_sum"],
                field=recorded.field,
            )
            if found.digest != recorded.digest or not found.possible:
                raise PackError(
                    "damaged statistics",
                    where=self.path / STATISTICS,
                    expected=recorded.digest,
                    got=found.digest,
                )
            self._statistics = found
        return self._statistics

    def __len__(self) -> int:
        return int(self.starts[-1])

    @overload
    def __getitem__(self, number: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, number: slice) -> dict[str, Any]: ...
    def __getitem__(self, number: int | slice) -> dict[str, Any]:
        if isinstance(number, slice):
            return self._take(np.arange(*number.indices(len(self))))
        shard, row = self._find(number)
        rows = self.rows(shard)
        try:
            found: dict[str, Any] = {
                field.name: _upright(field, rows.stored(field, row)) for field in self.fields
            } | {"key": rows.key(row)}
        finally:
            rows.unchanged()
            if rows.faults or row not in rows.compared:
                self._compare(shard, np.array([row]))
        return found

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[number] for number in range(len(self)))

    def arrays(self, name: str) -> tuple[np.ndarray, ...]:
        """One read-only memory-mapped array a shard, in stored layout: (n_s, *stored shape).

        ``name`` is a field, ``key_hash``, or any dataset of docs/pack-format.md; a field of varying
        size is flat, and ``offsets/<field>`` has its bounds.

        Raises:
            UsageError: there is no such dataset.
        """
        known = self.index.shards[0].datasets
        if name not in known:
            raise UsageError(
                "no such dataset",
                where=self.path,
                expected=f"one of {', '.join(sorted(known))}",
                got=repr(name),
            )
        return tuple(self.rows(shard).arrays[name] for shard in range(len(self._shards)))

    def keys(self, numbers: Iterable[int]) -> list[str]:
        """The keys of these samples."""
        keys = []
        for number in numbers:
            shard, row = self._find(number)
            rows = self.rows(shard)
            try:
                keys.append(rows.key(row))
            finally:
                rows.unchanged()
        return keys

    def check(self, number: int) -> None:
        """Compare a sample's bytes with their CRC-32C.

        Raises:
            PackError: naming shard, field and sample, when they differ; or the shard has changed.
        """
        shard, row = self._find(number)
        try:
            self._compare(shard, np.array([row]))
        finally:
            self.rows(shard).unchanged()

    def value(self, field: Field, number: int) -> Any:
        """A field of a sample, to be read while ``holding``; for whoever compares checksums, and
        looks whether the shard has changed, himself."""
        shard, row = self._find(number)
        return _upright(field, self.rows(shard).stored(field, row))

    def stack(self, field: Field, numbers: Numbers) -> Any:
        """A field of several samples, in the order of ``numbers``; as ``value``."""
        if not field.fixed:
            return [self.value(field, number) for number in numbers.tolist()]
        shape = (len(numbers), *(size or 0 for size in field.stored_shape))
        stack = np.empty(shape, np.dtype(field.dtype))
        for shard, here, rows in self._by_shard(numbers):
            stack[here] = self.rows(shard).arrays[field.name][rows]
        upright = stack.transpose(0, 2, 3, 1) if field.layout == "CHW" else stack
        return np.ascontiguousarray(upright)

    def _compare(self, shard: int, rows: Numbers) -> None:
        """Compare these rows' bytes, the rows rising, with their CRC-32Cs.

        Raises:
            PackError: as ``check``.
        """
        try:
            self._same(shard, rows)
        except PackError:
            self.doubt([int(self.starts[shard] + rows[0])])
            raise
        self.rows(shard).compared.add(rows)

    def _same(self, shard: int, numbers: Numbers) -> None:
        rows = self.rows(shard)
        for field in (*self.fields, KEY):
            expected = rows.arrays[f"checksum/{field.name}"][numbers]
            got = rows.checksums(field, numbers)
            wrong = np.flatnonzero(got != expected)
            if len(wrong):
                rows.unchanged()  # or that is what is wrong
                first = int(wrong[0])
                number = int(self.starts[shard] + numbers[first])
                raise PackError(
                    "damaged sample",
                    where=f"{self.path / rows.name}, {field.name}, sample {number}",
                    expected=f"CRC-32C {expected[first]:08x}",
                    got=f"{got[first]:08x}",
                    remedy=self.remedy,
                )

    @property
    def mend(self) -> str:
        """The command that has the pack's damaged shards made again."""
        return f"dsets repair {self.path}"

    @property
    def remedy(self) -> str:
        """What an error about damaged samples tells to do."""
        return "see 'dsets repair'"

    def doubt(self, numbers: Iterable[int]) -> None:
        """These samples were found to be damaged, in shards that are held."""

    def __repr__(self) -> str:
        fields = ", ".join(map(str, self.fields))
        return f"<Pack {self.split}: {len(self):,} samples of {fields}; {self.path}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self.digest)

    def holding(
        self, numbers: npt.NDArray[np.int64], stop: Stop | None = None
    ) -> AbstractContextManager[None]:
        """While the block runs, the arrays of these samples' shards may be read.

        Nothing to do here; a remote pack fetches them, until ``stop`` is called.
        """
        return nullcontext()

    def reserved(self, name: str) -> tuple[np.ndarray, ...]:
        """As ``arrays``, to be read only while ``holding``: a remote pack fetches nothing yet."""
        return self.arrays(name)

    def ahead(self) -> Ahead | None:
        """Who brings what a stream will need; None for a local pack."""
        return None

    def _find(self, number: int) -> tuple[int, int]:
        """The number of a sample's shard, and its row there."""
        count, given = len(self), operator.index(number)
        wanted = given + count if given < 0 else given
        if not 0 <= wanted < count:
            raise IndexError(f"sample {given} of a pack of {count}")
        shard = int(np.searchsorted(self.starts, wanted, side="right")) - 1
        return shard, wanted - int(self.starts[shard])

    def rows(self, shard: int) -> Rows:
        """A shard of this number, mapped when it is first asked for."""
        found = self._shards[shard]
        if found is None:  # two threads may both map it; one map is then dropped
            found = Rows.map(self.path, self.index.shards[shard], self.fields)
            self._shards[shard] = found
        return found

    def _by_shard(self, numbers: Numbers) -> Iterator[tuple[int, npt.NDArray[np.bool_], Numbers]]:
        """The shards of these samples: which of them are there, and their rows."""
        shards = np.searchsorted(self.starts, numbers, side="right") - 1
        for shard in np.unique(shards).tolist():
            here = shards == shard
            yield shard, here, numbers[here] - self.starts[shard]

    def _take(self, numbers: Numbers) -> dict[str, Any]:
        """One stack a field, in the order of ``numbers``."""
        try:
            found = {field.name: self.stack(field, numbers) for field in self.fields}
            found["key"] = self.keys(numbers.tolist())
        finally:
            for shard, _, given in self._by_shard(numbers):
                rows = self.rows(shard)
                rows.unchanged()
                due = np.sort(given if rows.faults else rows.compared.missing(given))
                if len(due):
                    self._compare(shard, due)
        return found


def _upright(field: Field, stored: np.ndarray) -> np.ndarray:
    """A copy in native byte order; images height, width, channels."""
    value = stored.transpose(1, 2, 0) if field.layout == "CHW" else stored
    return np.array(value, dtype=field.dtype, order="C")


def _reopen(path: Path, digest: str) -> Pack:
    pack = Pack.open(path)
    if pack.digest != digest:
        raise PackError("the pack has changed", where=path, expected=digest, got=pack.digest)
    return pack
