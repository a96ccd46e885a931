from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsets.errors import UsageError
from dsets.stream.order import Order
from dsets.stream.state import Key, State
from dsets.stream.window import Window

KEY = Key("0" * 64, 3, True)

sizes = st.integers(1, 300)
batch_sizes = st.integers(1, 80)
worlds = st.integers(1, 64)


def epoch_of(order: Order, state: State) -> list[int]:
    """The positions at which batches start, from ``state`` to the end of its epoch."""
    starts = islice(order.walk(state), len(order) + 1)
    return [start.position for start in starts if start.epoch == state.epoch]


@given(n=sizes, batch_size=batch_sizes, ranks=worlds, epoch=st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_promise_1_the_ranks_slices_side_by_side_are_the_global_batch(
    n: int, batch_size: int, ranks: int, epoch: int
) -> None:
    order = [Order(n, KEY, batch_size, rank=rank, ranks=ranks) for rank in range(ranks)]
    permutation = order[0].samples(epoch, np.arange(n))
    for start in epoch_of(order[0], State(epoch, 0)):
        parts = [one.rows(start) for one in order]
        positions = np.concatenate([part.positions[part.valid] for part in parts])
        assert positions.tolist() == list(range(start, min(start + batch_size, n)))
        samples = np.concatenate(
            [one.samples(epoch, p.positions) for one, p in zip(order, parts, strict=True)]
        )
        valid = np.concatenate([part.valid for part in parts])
        assert np.array_equal(samples[valid], permutation[start : start + batch_size])


@given(n=sizes, batch_size=batch_sizes, ranks=worlds, drop_last=st.booleans())
@settings(deadline=None)
def test_promise_3_every_rank_gets_as_many_batches_and_rows(
    n: int, batch_size: int, ranks: int, drop_last: bool
) -> None:
    drop_last = drop_last and batch_size <= n
    orders = [Order(n, KEY, batch_size, drop_last, rank, ranks) for rank in range(ranks)]
    starts = [epoch_of(order, State()) for order in orders]
    assert all(each == starts[0] for each in starts)
    assert all(len(order) == len(starts[0]) for order in orders)
    valid = 0
    for start in starts[0]:
        rows = [order.rows(start) for order in orders]
        here = min(batch_size, n - start)
        assert {len(each.positions) for each in rows} == {-(-here // ranks)}
        assert all(((each.positions >= 0) & (each.positions < n)).all() for each in rows)
        valid += sum(int(each.valid.sum()) for each in rows)
    assert valid == (n // batch_size * batch_size if drop_last else n)


phases = st.lists(st.tuples(batch_sizes, worlds, st.integers(0, 5)), min_size=1, max_size=6)


@given(n=sizes, phases=phases, seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_promise_2_stops_and_changes_of_size_lose_and_repeat_nothing(
    n: int, phases: list[tuple[int, int, int]], seed: int
) -> None:
    key = Key("1" * 64, seed, True)
    epoch = Order(n, key, 1).samples(0, np.arange(n))
    seen: list[int] = []
    state = State()
    last = (*phases[-1][:2], n)  # to the end of the epoch
    for batch_size, ranks, steps in [*phases, last]:
        orders = [Order(n, key, batch_size, rank=rank, ranks=ranks) for rank in range(ranks)]
        for start in epoch_of(orders[0], state)[:steps]:
            for order in orders:
                rows = order.rows(start)
                seen += epoch[rows.positions[rows.valid]].tolist()
            state = State(0, orders[0].after(start))
    assert sorted(seen) == list(range(n))


def test_without_shuffle_the_order_is_the_packs_own() -> None:
    order = Order(10, Key("0" * 64, 0, False), 4)
    assert order.samples(5, np.arange(10)).tolist() == list(range(10))


def test_epochs_follow_each_other_without_end() -> None:
    starts = islice(Order(5, KEY, 2).walk(State(3, 4)), 5)
    assert [(s.epoch, s.position) for s in starts] == [(3, 4), (4, 0), (4, 2), (4, 4), (5, 0)]


def test_drop_last_leaves_out_a_short_batch_also_after_a_change_of_size() -> None:
    assert epoch_of(Order(10, KEY, 4, drop_last=True), State()) == [0, 4]
    assert epoch_of(Order(10, KEY, 4, drop_last=True), State(0, 3)) == [3]
    assert epoch_of(Order(10, KEY, 4, drop_last=True), State(0, 7)) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": -1}, "batch_size"),
        ({"batch_size": 2.0}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"rank": 2}, "rank"),
        ({"rank": -1}, "rank"),
        ({"ranks": 0}, "ranks"),
        ({"turn": 1}, "turn"),
        ({"batch_size": 11, "drop_last": True}, "drop_last"),
    ],
)
def test_nonsense_is_refused_by_name(change: dict[str, object], name: str) -> None:
    good: dict[str, object] = {"n": 10, "key": KEY, "batch_size": 4, "rank": 0, "ranks": 2}
    with pytest.raises(UsageError, match=name):
        Order(**(good | change))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 2**32, None, True, np.bool_(True), 1.0, "1"])
def test_a_strange_seed_is_refused(seed: Any) -> None:
    with pytest.raises(UsageError, match="bad seed"):
        Key("0", seed, True)


def test_numpys_numbers_are_as_good_as_pythons() -> None:
    few: Any = np.int64
    key = Key("0", few(3), True)
    assert Order(few(10), key, few(4), rank=few(1), ranks=few(2)) == Order(
        10, Key("0", 3, True), 4, rank=1, ranks=2
    )
    assert type(key.seed) is int  # so that a state goes into JSON
    window = Window(few(4), few(8))
    assert type(window.lanes) is type(window.window) is int
