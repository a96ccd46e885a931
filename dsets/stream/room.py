"""The room in a cache that a remote pack's stream always gets by with.

How many shards a batch needs differs from batch to batch and epoch to epoch, so a cache that is
somewhat too small may do for many epochs before one batch does not fit.
"""

from __future__ import annotations

import warnings

from dsets.pack import Pack
from dsets.stream.order import Order
from dsets.stream.window import Window


def shards(order: Order, fewest: int, count: int) -> int:
    """The most shards that one batch of this rank may need, of ``count`` with at least ``fewest``
    samples each, the last one aside. An upper bound, which few orders reach.
    """
    rows, shuffle = order.rows_a_batch, order.key.shuffle
    if shuffle is False:
        return min(_touched(rows, fewest), count)
    if shuffle is True:
        return min(rows, count)
    return min(_of_lanes(shuffle, order, fewest), rows, count)


def _of_lanes(shuffle: Window, order: Order, fewest: int) -> int:
    batch = min(order.batch_size, order.n)
    steps = -(-batch // shuffle.lanes)  # of one lane, in one batch
    windows = -(-(steps - 1) // shuffle.window) + 1
    passed = min(windows * shuffle.window, -(-order.n // shuffle.lanes))
    # One more where a lane comes to the end of its range and goes on from its beginning.
    lane = min(_touched(passed, fewest) + 1, steps)
    return lane * min(shuffle.lanes, order.rows_a_batch)


def _touched(samples: int, fewest: int) -> int:
    """The most shards that neighbouring samples lie in."""
    return -(-(samples - 1) // fewest) + 1


def warn(pack: Pack, order: Order, address: str, limit: int | None) -> None:
    """Warn where a cache of ``limit`` bytes may turn out to be too small for one batch."""
    if limit is None:
        return
    sizes = [shard.bytes for shard in pack.index.shards]
    fewest = min(shard.samples for shard in pack.index.shards[:-1] or pack.index.shards)
    enough = sum(sorted(sizes)[-shards(order, fewest, len(sizes)) :])
    if enough > limit:
        warnings.warn(
            f"{address}: a batch may need up to {enough} bytes of shards at once, and the cache "
            f"may have {limit}: a later batch may find no room; give it more (DSETS_CACHE_SIZE), "
            "or take smaller batches, or a Window of fewer lanes",
            stacklevel=6,
        )
