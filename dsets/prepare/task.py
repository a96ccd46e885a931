"""One Dask task: one shard, from raw bytes to a finished file with its record beside it.

The same function runs in the caller's process, in a local worker and on a far cluster, and writes
the same bytes. Only a small record travels back; samples never do.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from dsets import codecs, readers
from dsets.errors import DataError, PipelineError, PrepareError
from dsets.pack import shard
from dsets.pack.digests import samples_digest
from dsets.pack.schema import Quarantined
from dsets.pack.statistics import Statistics
from dsets.prepare import folder, ledger
from dsets.prepare.columns import Columns, checked
from dsets.prepare.ledger import Record
from dsets.prepare.planning import PackPlan
from dsets.readers import Sample

#: Samples handed to a thread at a time: small images would otherwise drown in the handing over.
_GROUP = 32
#: Encoded bytes after which a group is large enough: about ten photographs.
_GROUP_BYTES = 1 << 20
#: Bytes of decoded pixels that wait to be counted together; one by one would cost more.
_COUNTED_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class _Group:
    """What became of some samples, apart from what went into the columns."""

    quarantine: Sequence[Quarantined]
    statistics: Statistics | None


def make_shards(plan: PackPlan, numbers: Iterable[int], threads: int = 1) -> list[Record]:
    """The records of these shards, as ``shards`` gives them."""
    return list(shards(plan, numbers, threads))


def shards(plan: PackPlan, numbers: Iterable[int], threads: int = 1) -> Iterator[Record]:
    """Make these shards, unless trustworthy records say that they are there; their records.

    ``threads`` run the pipeline, and one more counts, sums, writes and flushes the shard before:
    order and bytes do not depend on them. Memory: the columns of two shards and a few groups of
    samples a thread.

    Raises:
        DataError: a raw file as a whole is not what its reader expects.
        PipelineError: the pipeline failed, or made a value that is not of its field.
        PrepareError: this process cannot write to the pack's folder.
    """
    spare = [Columns(plan.fields, plan.samples_per_shard) for _ in range(2)]
    with ThreadPoolExecutor(1, thread_name_prefix="dsets-write") as writer:
        written: Future[Record] | None = None
        for number in numbers:
            _check_folder(plan)
            found = ledger.finished(plan, number)
            columns, _ = spare = spare[::-1]
            group = None if found else _filled(plan, number, threads, columns)
            if written:
                yield written.result()
                written = None
            if group:
                written = writer.submit(_write, plan, number, columns, group)
            elif found:
                yield found
        if written:
            yield written.result()


def _filled(plan: PackPlan, number: int, threads: int, columns: Columns) -> _Group:
    """Fill the columns with the samples of one shard."""
    columns.clear()
    quarantine: list[Quarantined] = []
    statistics = None
    for group in _groups(plan, number, threads, columns):
        statistics = _both(statistics, group.statistics)
        quarantine += group.quarantine
    _check_number(plan, number, len(columns.keys) + len(quarantine))
    return _Group(quarantine, statistics)


def _check_number(plan: PackPlan, number: int, got: int) -> None:
    rows = plan.rows(number)
    if got != len(rows):
        raise PrepareError(
            f"reader {plan.source.manifest.reader} gave another number of samples than asked for",
            where=f"{plan.split.name}, rows {rows.start} to {rows.stop}",
            expected=len(rows),
            got=got,
        )


def _check_folder(plan: PackPlan) -> None:
    if not plan.part.is_dir():
        raise PrepareError(
            "the pack's folder is not there for this worker",
            where=plan.part,
            remedy="workers on other machines need the same shared file system",
        )


def _write(plan: PackPlan, number: int, columns: Columns, group: _Group) -> Record:
    _check_folder(plan)  # or a worker that outlived its job would make the folder again
    with folder.writing(ledger.shard_path(plan, number)):
        filled, statistics, written = columns.filled(), group.statistics, None
        if columns.keys:
            path = ledger.shard_path(plan, number)
            written = shard.write(path, plan.fields, columns.keys, filled)
            if plan.statistics and statistics is None:
                statistics = Statistics.of(filled[plan.statistics], plan.statistics)
        return ledger.write(
            plan,
            Record(
                plan=plan.digest,
                environment=ledger.environment(plan),
                number=number,
                shard=written,
                keys=samples_digest(columns.keys),
                sums=None,
                quarantine=tuple(group.quarantine),
            ),
            statistics,
        )


def _groups(plan: PackPlan, number: int, threads: int, columns: Columns) -> Iterator[_Group]:
    """The shard's samples in order, made by ``threads`` threads a bounded way ahead."""
    samples = readers.load(plan.source.manifest.reader).samples(plan.source, plan.rows(number))
    groups = _grouped(plan, number, samples)
    if threads == 1:
        yield from (_make_group(plan, columns, *group) for group in groups)
        return
    ahead: deque[Future[_Group]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="dsets-make") as pool:
        try:
            for group in groups:
                ahead.append(pool.submit(_make_group, plan, columns, *group))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _grouped(
    plan: PackPlan, number: int, samples: Iterable[Sample]
) -> Iterator[tuple[int, list[Sample]]]:
    """Some samples at a time, so few that the threads finish together, after the first one's row.

    Raises:
        PrepareError: there are more than the shard has rows.
    """
    group: list[Sample] = []
    row = size = 0
    for sample in samples:
        group.append(sample)
        size += sum(len(value) for value in sample.values.values() if isinstance(value, bytes))
        if row + len(group) > len(plan.rows(number)):
            _check_number(plan, number, row + len(group))
        if len(group) == _GROUP or size >= _GROUP_BYTES:
            yield row, group
            row, group, size = row + len(group), [], 0
    if group:
        yield row, group


def _make_group(plan: PackPlan, columns: Columns, row: int, samples: Iterable[Sample]) -> _Group:
    """Put some samples into the columns, from ``row`` on."""
    quarantine: list[Quarantined] = []
    statistics = None
    waiting: list[np.ndarray] = []
    for place, sample in enumerate(samples, row):
        try:
            values = _make(plan, sample)
            pixels = _decoded(plan, values)
        except DataError as error:
            quarantine.append(Quarantined(sample.key, str(error), _digest(sample)))
            continue
        columns.put(place, sample.key, values)
        if pixels is not None and plan.statistics:
            waiting.append(pixels)
        if sum(image.size for image in waiting) > _COUNTED_BYTES:
            statistics = _both(statistics, Statistics.of(waiting, plan.statistics or ""))
            waiting = []
    if waiting:
        statistics = _both(statistics, Statistics.of(waiting, plan.statistics or ""))
    return _Group(quarantine, statistics)


def _both(one: Statistics | None, other: Statistics | None) -> Statistics | None:
    return one.merge(other) if one and other else one or other


def _make(plan: PackPlan, sample: Sample) -> Sequence[np.ndarray]:
    if sample.problem:
        raise sample.problem
    try:
        made = plan.pipeline.make(sample)
    except (DataError, PipelineError):
        raise
    except Exception as error:  # a stranger's code may raise anything
        raise PipelineError(
            f"make() failed: {type(error).__name__}: {error}",
            where=f"{plan.pipeline.origin}, sample {sample.key}",
        ) from error
    return checked(sample.key, plan.fields, made)


def _decoded(plan: PackPlan, values: Sequence[np.ndarray]) -> np.ndarray | None:
    """The pixels of an image that goes in encoded, as its readers will see them.

    An image that cannot be decoded goes into quarantine, whatever the split.
    """
    place = plan.encoded
    return None if place is None else codecs.decode(values[place].tobytes())


def _digest(sample: Sample) -> str:
    """The sha256 of a sample's encoded bytes, as ``sha256sum`` gives it of its file.

    Of a sample without any: that of all its values, by name.
    """
    values = [sample.values[name] for name in sorted(sample.values)]
    encoded = [value for value in values if isinstance(value, bytes | bytearray | memoryview)]
    digest = hashlib.sha256()
    for value in encoded or values:
        digest.update(value if encoded else np.asarray(value).tobytes())
    return digest.hexdigest()
