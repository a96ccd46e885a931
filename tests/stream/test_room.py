"""What a batch may need at once is never more than what a cache is told to have room for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsets.stream import Order, Window, room
from dsets.stream.state import Key

DIGEST = "sha256:" + "0" * 64


def most(order: Order, per_shard: int, epochs: int) -> int:
    """The most shards that one batch of the order's rank needs."""
    found = 0
    for epoch in range(epochs):
        position = order.first
        while not order.over(position):
            taken = order.samples(epoch, order.rows(position).positions)
            found = max(found, len(np.unique(taken // per_shard)))
            position = order.following(position)
    return found


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(1, 400),
    per_shard=st.integers(1, 60),
    batch_size=st.integers(1, 80),
    shuffle=st.one_of(
        st.booleans(), st.builds(Window, lanes=st.integers(1, 9), window=st.integers(1, 50))
    ),
    ranks=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_no_batch_needs_more(
    n: int, per_shard: int, batch_size: int, shuffle: bool | Window, ranks: int, seed: int
) -> None:
    for rank in range(ranks):
        order = Order(n, Key(DIGEST, seed, shuffle), batch_size, rank=rank, ranks=ranks)
        bound = room.shards(order, min(per_shard, n), -(-n // per_shard))
        assert most(order, per_shard, 2) <= bound


@pytest.mark.parametrize(
    ("shuffle", "bound"),
    [(False, 2), (True, 10), (Window(1, 10), 4), (Window(2, 20), 10)],
    ids=["in order", "shuffled", "a window", "two lanes"],
)
def test_the_bound_is_not_far_from_what_is_needed(shuffle: bool | Window, bound: int) -> None:
    order = Order(1000, Key(DIGEST, 0, shuffle), 10)
    assert room.shards(order, 10, 100) == bound
    assert 2 * most(order, 10, 60) >= bound
