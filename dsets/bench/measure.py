"""A stream measured: rate, first batch, where the time goes, memory, shuffle quality."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsets.bench import process
from dsets.bench.watch import Watch
from dsets.errors import UsageError
from dsets.stream import Batch, Options, Order, Stream, Window, quality
from dsets.stream import device as devices
from dsets.stream.quality import Quality
from dsets.stream.state import Key

if TYPE_CHECKING:
    from dsets.pack import Pack
    from dsets.transforms.recipe import Transform

#: Batches taken before the clock starts on a warm stream: they were made ahead.
UNTIMED = 4
#: The share of the loader's rate that a modest consumer asks for.
DEMAND = 0.8
#: Positions of an epoch whose order is judged.
JUDGED = 1 << 20


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, in samples, seconds and bytes.

    ``shares`` are parts of the threads' time and add up to 1: ``storage``, ``kernel``,
    ``functions``, ``device``, ``ready`` (without a processor) and ``idle`` (the consumer is
    slower, or jobs are being planned). ``waiting`` is the part of its own time that a greedy
    consumer waits; ``waiting_at_80`` that of one which asks for 80 % of ``rate``, None where there
    was no time for it (a cold measurement is over with its epoch).
    """

    samples: int
    seconds: float
    rate: float
    rate_per_core: float
    stored_bytes_per_second: float
    first_batch: float
    shares: dict[str, float]
    waiting: float
    waiting_at_80: float | None
    memory: int
    threads: int
    quality: Quality | None


def measure(
    pack: Pack,
    batch_size: int = 256,
    transform: Sequence[Transform] = (),
    *,
    seconds: float = 3.0,
    threads: int | None = None,
    device: str | None = None,
    cold: bool = False,
    shuffle: bool | Window = True,
) -> Report:
    """Stream ``pack`` for about ``seconds``; the consumer takes batches and drops them.

    With ``cold`` the pack's pages are dropped first and the clock starts at once; the measurement
    ends with the first epoch, since the second is no longer cold. For a device torch is imported
    before that: loading is what is measured, not what a program would have imported anyway.

    Raises:
        UsageError: the system cannot drop pages, or arguments that a stream refuses.
    """
    if not seconds > 0:
        raise UsageError("bad seconds", where="bench", expected="more than 0", got=repr(seconds))
    devices.of(device)
    if cold and not process.cold(pack):
        raise UsageError("this system cannot drop pages", where="bench", remedy="leave out cold")
    options = Options(threads=threads)
    threads = options.threads_here
    order = Order(len(pack), Key(pack.samples_digest, 0, shuffle), batch_size)
    begun, processor = time.perf_counter(), time.process_time()
    with Stream(pack, order, transform, device=device, options=options) as stream:
        watch = Watch(stream)
        batches = _first_epoch(stream) if cold else _endless(stream)
        first_rows = len(next(batches).index)
        first = time.perf_counter() - begun
        if cold:
            taken = _take(batches, (begun, processor), seconds, first_rows)
            spent = dict(watch.seconds)
            late = None
        else:
            for _ in range(UNTIMED):
                next(batches)
            before, start = dict(watch.seconds), (time.perf_counter(), time.process_time())
            taken = _take(batches, start, seconds, 0)
            spent = {kind: value - before[kind] for kind, value in watch.seconds.items()}
            late = _late(batches, DEMAND * taken.rate, min(seconds, 2.0))
        held = process.memory(os.getpid())
    shares = {kind: min(1.0, value / (taken.seconds * threads)) for kind, value in spent.items()}
    total = max(1.0, sum(shares.values()))  # a step that began before the clock may count whole
    shares = {kind: value / total for kind, value in shares.items()}
    stored = sum(shard.bytes for shard in pack.index.shards) / len(pack)
    return Report(
        samples=taken.samples,
        seconds=taken.seconds,
        rate=taken.rate,
        rate_per_core=taken.samples / taken.processor if taken.processor else 0.0,
        stored_bytes_per_second=taken.rate * stored,
        first_batch=first,
        shares={**shares, "idle": max(0.0, 1 - sum(shares.values()))},
        waiting=taken.waited / taken.seconds,
        waiting_at_80=late,
        memory=held,
        threads=threads,
        quality=_quality(pack, order),
    )


@dataclass(frozen=True, slots=True)
class _Taken:
    samples: int
    seconds: float
    waited: float
    processor: float

    @property
    def rate(self) -> float:
        return self.samples / self.seconds


def _endless(stream: Stream) -> Iterator[Batch]:
    while True:
        yield from stream


def _first_epoch(stream: Stream) -> Iterator[Batch]:
    yield from stream


def _take(
    batches: Iterator[Batch], begun: tuple[float, float], seconds: float, samples: int
) -> _Taken:
    """Take batches for some time, or to the end. Clock and processor time had ``begun`` before
    the first ``samples``, which were waited for."""
    start, processor = begun
    now = time.perf_counter()
    waited = now - start
    while now - start < seconds:
        batch = next(batches, None)
        after = time.perf_counter()
        waited, now = waited + after - now, after
        if batch is None:
            break
        samples += len(batch.index)
        del batch
    return _Taken(samples, max(now - start, 1e-9), waited, time.process_time() - processor)


def _late(batches: Iterator[Batch], rate: float, seconds: float) -> float:
    """The part of its time that a consumer waits who works on each batch for rows / rate."""
    waited, start = 0.0, time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        rows = len(next(batches).index)
        waited += time.perf_counter() - now
        time.sleep(rows / rate)
    return waited / (time.perf_counter() - start)


def _quality(pack: Pack, order: Order) -> Quality | None:
    """Of the first epoch, or its beginning; None for a single sample."""
    if len(pack) < 2:
        return None
    samples = order.samples(0, np.arange(min(len(pack), JUDGED)))
    fields = {field.name: field for field in pack.fields}
    label = fields.get("label")
    plain = label is not None and label.shape == () and np.dtype(label.dtype).kind in "iu"
    labels = np.concatenate(pack.arrays("label")) if plain else None
    return quality.measure(samples, len(pack), order.batch_size, labels)
