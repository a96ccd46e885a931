"""Making the batch of a job: what the threads of a stream do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dsets.errors import PackError, StreamError
from dsets.field import Field
from dsets.stream import function
from dsets.stream.batch import Batch
from dsets.stream.buffers import Pool
from dsets.stream.column import Source, column_of
from dsets.stream.crew import Crew
from dsets.stream.device import Device
from dsets.stream.follow import drawn, follow, refuse
from dsets.stream.gather import Column, Unreadable, Varying
from dsets.stream.plan import Job
from dsets.stream.substitutes import Substitutes
from dsets.transforms.encoded import Encoded
from dsets.transforms.kernel import Kernel
from dsets.transforms.on_device import OnDevice
from dsets.transforms.random import Draws
from dsets.transforms.recipe import IMAGE, Recipe
from dsets.transforms.view import Views

if TYPE_CHECKING:
    from dsets.fetch.stop import Stop


#: Bytes of a field from which on several threads may make it together.
_SHARED = 1 << 20


@dataclass(frozen=True, slots=True)
class Made:
    """A placed batch, and what its receiver must wait for."""

    batch: Batch
    event: Any


class Assembly:
    """Everything that a thread needs to make batches; it knows nothing of stream or threads."""

    def __init__(
        self,
        recipe: Recipe,
        fields: Sequence[Field],
        device: Device,
        substitutes: Substitutes,
        rows: int,
        buffers: int,
    ) -> None:
        pack = substitutes.pack
        self.pools: dict[str, Pool] = {}
        #: Ends waiting for what a remote pack fetches.
        self.stop: Stop | None = None
        #: Who makes a batch together.
        self.crew = Crew()
        self._pack = pack
        self._fields = {field.name: field for field in fields}
        self._recipe = recipe
        self._device = device
        self._seed = substitutes.seed
        self._substitutes = substitutes
        self._columns: dict[str, Source | None] = {}
        self._on_device: OnDevice | None = None
        self._size = (0, 0)
        self._key_hash = Column(pack.reserved("key_hash"), pack.starts)
        for field in fields:
            column = column_of(field, recipe, substitutes)
            self._columns[field.name] = column
            if field.name == IMAGE and isinstance(column, Kernel):
                self._size = column.images.size[:2]
                if _for_device(column, recipe) and device.augments is not None:
                    self._on_device = OnDevice.of(column, device.augments)
                    self._columns[IMAGE] = column = Column(pack.reserved(IMAGE), pack.starts)
                    for name, bytes_ in self._on_device.sizes().items():
                        self.pools[name] = _pool(bytes_ * rows, buffers, device)
            if column is not None and not isinstance(column, Varying):
                size = int(np.prod(column.shape)) * column.dtype.itemsize * rows
                self.pools[field.name] = _pool(size, buffers, device)

        #: Jobs, by epoch and position, that have not got their memory yet.
        self._awaiting: set[tuple[int, int]] = set()
        self._process = os.getpid()
        self._drawn: tuple[str, ...] = ()
        if recipe.geometry:
            if isinstance(self._columns.get(IMAGE), Encoded):
                refuse(fields, "encoded images are of many sizes")
            if recipe.crops > 1:
                refuse(fields, "it is shown several times")
            self._drawn = drawn(fields, self._size, recipe.pads)

    def choose(self, epoch: int, index: npt.NDArray[np.int64]) -> Views | None:
        """The views of these samples in an epoch; None when every image is shown as it is, and
        when they depend on the images' own sizes, which are looked at when a batch is made."""
        recipe = self._recipe
        none = not recipe.geometry and not recipe.lighting
        if none or isinstance(self._columns.get(IMAGE), Encoded):
            return None
        return self._recipe.choose(self._size, self._draws(epoch, index))

    def _draws(self, epoch: int, index: npt.NDArray[np.int64]) -> Draws:
        key_hash = np.empty(len(index), np.uint64)
        with self._pack.holding(index, self.stop):
            self._key_hash.take(index, key_hash)
        return Draws(self._seed, epoch, key_hash)

    def make(self, job: Job) -> Made:
        """The batch of a job, on its way to the device.

        Raises:
            StreamError: a function failed; names the sample, or the range, as ``function.apply``.
            PackError: a sample cannot be read, or a shard was cut short, changed or replaced.
        """
        place = job.epoch, job.position
        self._awaiting.add(place)
        try:
            job, batch = self._read(job)
        finally:
            self._awaiting.discard(place)
        batch = self._apply(job, batch)
        if self._on_device is None:
            return Made(*self._device.place(batch))
        batch = batch.replace({**batch, **self._choices(self._on_device, job)})
        return Made(*self._device.place(batch, self._on_device.apply))

    def _before(self, job: Job) -> int:
        """How many jobs that come before this one have not got their memory yet."""
        place = job.epoch, job.position
        return sum(other < place for other in self._awaiting.copy())

    def after_fork(self) -> None:
        """In a forked child nobody goes on with what the parent's threads had begun."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._awaiting.clear()
            for pool in self.pools.values():
                pool.renew()

    def get_ready(self) -> bool:
        """Make a piece of some memory ready for what is to come; False where all is."""
        return any(pool.make_ready() for pool in self.pools.values())

    def _choices(self, kernel: OnDevice, job: Job) -> dict[str, npt.NDArray[Any]]:
        """What the device must know of the views, in memory that it can copy from."""
        choices = kernel.choices(len(job.index), job.views)
        lent = {n: self.pools[n].lend(value.shape, value.dtype) for n, value in choices.items()}
        for name, value in choices.items():
            lent[name][...] = value
        return lent

    def receive(self, made: Made) -> Batch:
        """In the consumer's thread: the batch, ready to use."""
        return self._device.receive(made.batch, made.event)

    def _read(self, job: Job) -> tuple[Job, Batch]:
        """The batch before the user's functions, with substitutes for what cannot be read."""
        readable = self._substitutes.readable
        while True:  # each turn finds out more of what cannot be read
            faults = readable.faults
            settled = self._substitutes.settle(job, self.choose, self.stop)
            try:
                batch = self._gathered(settled)
            except Unreadable as unreadable:
                for number, why in unreadable.reasons.items():
                    readable.refuse(number, why)
                readable.whole(faults, settled.index)
                continue
            if readable.whole(faults, settled.index):
                return settled, batch

    def _gathered(self, job: Job) -> Batch:
        """The samples of a job, as they are.

        Raises:
            Unreadable: some cannot be read.
        """
        with self._pack.holding(job.index, self.stop):
            fields = {name: self._gather(name, one, job) for name, one in self._columns.items()}
        if job.views is not None and self._drawn:
            fields |= follow(fields, self._drawn, job.views, self._size, job.index)
        return Batch(
            fields,
            index=job.index,
            valid=job.valid,
            epoch=job.epoch,
            position=job.position,
            substituted=job.substituted,
        )

    def _apply(self, job: Job, batch: Batch) -> Batch:
        functions, name = self._recipe.functions, self._substitutes.name
        return function.apply(functions, job, batch, self._again, name)

    def _again(self, job: Job) -> Batch:
        """The samples of a settled job, whose views are not yet chosen."""
        return self._gathered(replace(job, views=self.choose(job.epoch, job.index)))

    def _gather(self, name: str, column: Source | None, job: Job) -> Any:
        if column is None or isinstance(column, Varying):
            return self._take(name, column, job)
        rows = len(job.index)
        before = partial(self._before, job)
        out = self.pools[name].lend((rows, *column.shape), column.dtype, before)
        if out.nbytes >= _SHARED:
            self._awaiting.discard((job.epoch, job.position))
        hands = min(self.crew.hands, rows) if out.nbytes >= _SHARED else 1
        if hands == 1:
            self._fill(name, column, job, slice(0, rows), out)
            return out
        edges = [rows * hand // hands for hand in range(hands + 1)]
        self.crew.share(
            [
                partial(self._fill, name, column, job, slice(first, last), out)
                for first, last in pairwise(edges)
            ]
        )
        return out

    def _take(self, name: str, column: Varying | None, job: Job) -> Any:
        """A field of many sizes, in memory of its own."""
        if column is None:
            return [self._value(name, number) for number in job.index.tolist()]
        return column.take(job.index)

    def _fill(
        self,
        name: str,
        column: Column | Kernel | Encoded,
        job: Job,
        rows: slice,
        out: npt.NDArray[Any],
    ) -> None:
        """Write these rows of a job's field to the same rows of ``out``."""
        index, out = job.index[rows], out[rows]
        if isinstance(column, Encoded):
            failed = column.fill(index, self._draws(job.epoch, index), out)
            if failed:
                raise Unreadable(
                    {int(index[each.row]): f"{name}: {each.reason}" for each in failed}
                )
        elif isinstance(column, Kernel):
            views = job.views if name == IMAGE else None
            column.fill(index, None if views is None else views[rows], out)
        else:
            column.take(index, out)

    def _value(self, name: str, number: int) -> Any:
        try:
            return self._pack.value(self._fields[name], number)  # settling has compared it
        except PackError as error:
            raise Unreadable({number: error.what}) from error


def _pool(size: int, buffers: int, device: Device) -> Pool:
    try:
        return Pool(size, buffers, device.allocate)
    except (MemoryError, OverflowError, ValueError) as error:  # the latter beyond all address space
        raise StreamError(
            "no memory for batches of this size",
            where="stream",
            got=f"{buffers} of {size / 2**30:.1f} GiB",
            remedy="a smaller batch_size, or a smaller crop",
        ) from error


def _for_device(kernel: Kernel, recipe: Recipe) -> bool:
    """Functions see finished NumPy rows and boxes are resized by the host; all else a device can
    do from the stored bytes."""
    return not recipe.functions and not recipe.resizes and kernel.images.dtype == np.uint8
