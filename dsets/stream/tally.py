"""Counts the rows that show a substitute, and warns of them."""

from __future__ import annotations

import warnings

import numpy as np

from dsets.pack import Pack
from dsets.stream.batch import Batch
from dsets.stream.order import Order
from dsets.stream.substitutes import Substitutes


class Tally:
    """``substituted``: rows delivered that show a substitute, not counting padding."""

    def __init__(self, pack: Pack, order: Order, substitutes: Substitutes) -> None:
        self.substituted = 0
        self._pack = pack
        self._substitutes = substitutes
        #: A rank's rows of an epoch.
        self._share = order.n / (order.ranks * order.turns)
        #: An epoch, and how many of those rows are its; whether they were found to be most of it.
        self._shown = (0, 0)
        self._told_of_most = False

    def began(self, epoch: int) -> None:
        """The epoch is gone over again, and its rows would count twice."""
        self._shown = (epoch, 0)

    def count(self, batch: Batch) -> None:
        rows = int(np.count_nonzero(batch.substituted & batch.valid))
        if rows and not self.substituted:
            name, why = next(iter(self._substitutes.found().items()))
            warnings.warn(
                f"{self._pack.path}: other samples are shown for those that cannot be "
                f"read, as {name!r}: {why}; the stream counts and lists them; {self._pack.remedy}",
                stacklevel=6,
            )
        self.substituted += rows
        if not rows or self._told_of_most:
            return
        epoch, before = self._shown
        shown = rows + (before if epoch == batch.epoch else 0)
        self._shown = (batch.epoch, shown)
        if shown > self._share / 2:
            self._told_of_most = True
            warnings.warn(
                f"{self._pack.path}: more than half of the samples of epoch {batch.epoch} cannot "
                "be read; the others are shown again and again in their place; stop, and mend the "
                f"damaged shards: {self._pack.mend}",
                stacklevel=6,
            )
