"""One Dask task: one shard, from raw bytes to a finished file with its record beside it.

The same function runs in the caller's process, in a local worker and on a far cluster, and writes
the same bytes. Only a small record travels back; samples never do.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

import numpy as np

from dsets import codecs, readers
from dsets.errors import DataError, DsetsError, PipelineError, PrepareError
from dsets.pack import shard
from dsets.pack.digests import samples_digest
from dsets.pack.schema import Quarantined
from dsets.prepare import folder, ledger
from dsets.prepare.columns import Columns, checked, checked_batch
from dsets.prepare.counting import COUNTED_BYTES, Counting
from dsets.prepare.ledger import Record
from dsets.prepare.makers import Makers, done
from dsets.prepare.planning import PackPlan
from dsets.raised import failed, message
from dsets.readers import Batch, Batching, Sample

#: Samples handed to a thread at a time: small images would otherwise drown in the handing over.
_GROUP = 32
#: Encoded bytes after which a group is large enough: about ten photographs.
_GROUP_BYTES = 1 << 20


def make_shards(plan: PackPlan, numbers: Iterable[int], threads: int = 1) -> list[Record]:
    """The records of these shards, as ``shards`` gives them.

    An error goes without what caused it: it may travel to another process, where an exception of
    somebody else's, pickled beside it, might not arrive.
    """
    try:
        return list(shards(plan, numbers, threads))
    except DsetsError as error:
        error.__cause__ = error.__context__ = None
        raise


def shards(plan: PackPlan, numbers: Iterable[int], threads: int = 1) -> Iterator[Record]:
    """Make these shards, unless trustworthy records say that they are there; their records.

    ``threads`` run the pipeline and count, and one more sums, writes and flushes the shard before,
    whose last samples may still be in the making when the next one's first are begun: order and
    bytes do not depend on them. Memory: the columns of two shards and a few groups of samples a
    thread.

    Raises:
        DataError: a raw file as a whole is not what its reader expects.
        PipelineError: the pipeline failed, or made a value that is not of its field.
        PrepareError: this process cannot write to the pack's folder.
    """
    spare = [Columns(plan.fields, plan.samples_per_shard) for _ in range(2)]
    coming: deque[Future[Record]] = deque()
    with (
        ThreadPoolExecutor(1, thread_name_prefix="dsets-write") as writer,
        Makers(threads) as makers,
    ):
        for number in numbers:
            _check_folder(plan)
            found = ledger.finished(plan, number)
            # Of more than one the first must end: its columns are wanted.
            while coming and (len(coming) > 1 or coming[0].done()):
                yield coming.popleft().result()
            if found:
                coming.append(done(found))
                continue
            spare = spare[::-1]
            one = _Shard(plan, number, spare[0])
            one.fill(makers)
            coming.append(writer.submit(one.write, makers))
        while coming:
            yield coming.popleft().result()


class _Shard:
    """One shard on its way from samples in columns to a file."""

    def __init__(self, plan: PackPlan, number: int, columns: Columns) -> None:
        self._plan, self._number, self._columns = plan, number, columns
        self._quarantine: dict[int, Quarantined] = {}
        counted = plan.statistics
        self._counting = Counting(columns.column(counted), counted) if counted else None
        self._making: list[Future[None]] = []

    def fill(self, makers: Makers) -> None:
        """Have all samples made; the last few may not be there yet."""
        self._columns.clear()
        plan = self._plan
        reader = readers.load(plan.source.manifest.reader)
        rows = plan.rows(self._number)
        found: Iterable[Batch | Sample]
        if plan.pipeline.make_batch and not plan.pipeline.statistics and hasattr(reader, "batches"):
            found = cast(Batching, reader).batches(plan.source, rows)
        else:
            found = reader.samples(plan.source, rows)
        for row, group in _grouped(plan, self._number, found):
            make = self._make_batch if isinstance(group, Batch) else self._make
            self._making.append(makers.submit(make, row, group))

    def write(self, makers: Makers) -> Record:
        """Wait for the last samples, write file and record; ``makers`` count what is left."""
        plan, number, columns = self._plan, self._number, self._columns
        for future in self._making:
            future.result()
        _check_number(plan, number, len(columns.keys) + len(self._quarantine))
        _check_folder(plan)  # or a worker that outlived its job would make the folder again
        with folder.writing(ledger.shard_path(plan, number)):
            # Of the rows as they were made; those below a bad one are about to move up.
            counted = makers.aside(self._counting.rest) if self._counting else done(None)
            if self._quarantine:
                counted.result()
            written = None
            if columns.keys:
                path = ledger.shard_path(plan, number)
                written = shard.write(path, plan.fields, columns.keys, columns.filled())
            return ledger.write(
                plan,
                Record(
                    plan=plan.digest,
                    environment=ledger.environment(plan),
                    number=number,
                    shard=written,
                    keys=samples_digest(columns.keys),
                    sums=None,
                    quarantine=tuple(bad for _, bad in sorted(self._quarantine.items())),
                ),
                counted.result(),
            )

    def _make(self, row: int, samples: Sequence[Sample]) -> None:
        """Put some samples into the columns, from ``row`` on; in any thread."""
        counting, encoded = self._counting, self._plan.encoded is not None
        rows: list[int] = []
        waiting: list[np.ndarray] = []
        for place, sample in enumerate(samples, row):
            try:
                values = made(self._plan, sample)
                pixels = decoded(self._plan, values)
            except DataError as error:
                self._quarantine[place] = Quarantined(sample.key, message(error), _digest(sample))
                continue
            self._columns.put(place, sample.key, values)
            rows.append(place)
            if counting and pixels is not None:
                waiting.append(pixels)
                if sum(image.size for image in waiting) > COUNTED_BYTES:
                    counting.count(waiting)
                    waiting = []
        if counting:
            counting.count(waiting)
            counting.add(() if encoded else rows)

    def _make_batch(self, row: int, batch: Batch) -> None:
        """The same of many at once; one by one where anything is out of the ordinary."""
        values = _made_at_once(self._plan, batch)
        if values is None:
            self._make(row, batch.samples())
        else:
            self._columns.put_batch(row, batch.keys, values)


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


def _grouped(
    plan: PackPlan, number: int, found: Iterable[Batch | Sample]
) -> Iterator[tuple[int, list[Sample] | Batch]]:
    """Some samples at a time, so few that the threads finish together, after the first one's row.

    Raises:
        PrepareError: there are more than the shard has rows.
    """
    group: list[Sample] = []
    row = size = 0
    for one in found:
        if isinstance(one, Batch):
            if group:
                yield row, group
            row, group, size = row + len(group), [], 0
            _check_room(plan, number, row + len(one.keys))
            yield row, one
            row += len(one.keys)
            continue
        group.append(one)
        size += sum(len(value) for value in one.values.values() if isinstance(value, bytes))
        _check_room(plan, number, row + len(group))
        if len(group) == _GROUP or size >= _GROUP_BYTES:
            yield row, group
            row, group, size = row + len(group), [], 0
    if group:
        yield row, group


def _check_room(plan: PackPlan, number: int, got: int) -> None:
    if got > len(plan.rows(number)):
        _check_number(plan, number, got)


def _made_at_once(plan: PackPlan, batch: Batch) -> Sequence[np.ndarray] | None:
    """The columns of a batch; None where ``make`` has to see each of its samples."""
    where = f"{plan.pipeline.origin}, samples {batch.keys[0]} to {batch.keys[-1]}"
    try:
        values = plan.pipeline.make_batch(batch) if plan.pipeline.make_batch else None
    except (DataError, PipelineError):
        return None  # of which sample, ``make`` tells
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a stranger's code may raise anything
        raise failed("make_batch()", where, error, plan.pipeline.origin) from error
    return None if values is None else checked_batch(where, len(batch.keys), plan.fields, values)


def made(plan: PackPlan, sample: Sample) -> Sequence[np.ndarray]:
    """What the pipeline makes of a sample, in the order of the plan's fields.

    Raises:
        DataError: the sample is bad.
        PipelineError: the pipeline failed, or made a value that is not of its field.
    """
    if sample.problem:
        raise sample.problem
    where = f"{plan.pipeline.origin}, sample {sample.key}"
    try:
        return checked(where, plan.fields, plan.pipeline.make(sample))
    except (DataError, PipelineError) as error:
        if hasattr(error, "what"):  # else a stranger's class that never called ours
            raise
        raise failed("make()", where, error, plan.pipeline.origin) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a stranger's code may raise anything, its mapping as well
        raise failed("make()", where, error, plan.pipeline.origin) from error


def decoded(plan: PackPlan, values: Sequence[np.ndarray]) -> np.ndarray | None:
    """The pixels of an image that goes in encoded, as its readers will see them.

    Raises:
        DataError: it cannot be decoded, for which it goes into quarantine whatever the split.
    """
    place = plan.encoded
    return None if place is None else codecs.decode(values[place].tobytes())


def _digest(sample: Sample) -> str | None:
    """The sha256 of a sample's encoded bytes, as ``sha256sum`` gives it of its file.

    Of a sample without any: that of all its values, by name. None where its problem left none.
    """
    values = [sample.values[name] for name in sorted(sample.values)]
    encoded = [value for value in values if isinstance(value, bytes | bytearray | memoryview)]
    if sample.problem and (not values or (encoded and not any(encoded))):
        return None
    digest = hashlib.sha256()
    for value in encoded or values:
        digest.update(value if encoded else np.asarray(value).tobytes())
    return digest.hexdigest()
