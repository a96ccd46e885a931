"""The class behind ``as_iterable``; importing it loads torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset, get_worker_info

from dsets.errors import UsageError
from dsets.numbers import whole
from dsets.stream import state
from dsets.stream.options import Options
from dsets.stream.order import Order
from dsets.stream.state import State
from dsets.stream.stream import Stream
from dsets.transforms.recipe import Transform

if TYPE_CHECKING:
    from dsets.pack import Pack

_NAMES = ("index", "valid", "substituted")


class Iterable(IterableDataset[dict[str, Any]]):
    """The batches of one epoch in each process that iterates, its own share of them."""

    def __init__(
        self,
        pack: Pack,
        order: Order,
        transform: tuple[Transform, ...],
        options: Options,
    ) -> None:
        for field in pack.fields:
            if field.name in _NAMES:
                raise UsageError(f"a batch needs the name {field.name!r}", where="as_iterable")
        self._pack = pack
        self._order = order
        self._transform = transform
        self._options = options
        #: The epoch that the next iteration gives, in this process.
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next. A loader that starts new workers for each epoch must be told
        before each; workers that persist, and a loader without any, count by themselves.

        Raises:
            UsageError: no number of an epoch.
        """
        self.epoch = whole("epoch", epoch, 0, state.LAST_EPOCH, "set_epoch")

    def __len__(self) -> int:
        """Batches in a whole epoch, of all workers together."""
        return len(self._order)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        order, options = self._order, self._options
        if (worker := get_worker_info()) is not None:
            order = replace(order, turn=worker.id, turns=worker.num_workers)
            options = replace(options, threads=1)  # the workers are what works side by side
        epoch, self.epoch = self.epoch, self.epoch + 1
        with Stream(self._pack, order, self._transform, options=options) as stream:
            stream.load_state_dict(state.dump(order.key, State(epoch, order.first)))
            for batch in stream:
                if taken := [name for name in _NAMES if name in batch]:
                    raise UsageError(
                        f"a function returned the field {taken[0]!r}, and a batch needs that name",
                        where="as_iterable",
                        remedy="call it otherwise",
                    )
                marks = {name: getattr(batch, name) for name in _NAMES}
                yield {**batch, **marks}
