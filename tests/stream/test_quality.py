from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets.errors import UsageError
from dsets.stream import Key, Order, Window
from dsets.stream.quality import measure

N = 20_000
LABELS = np.arange(N) * 10 // N  # ten classes, one after the other, as folders give them


def epoch(shuffle: bool | Window, number: int = 0) -> np.ndarray:
    return Order(N, Key("a" * 64, 0, shuffle), 100).samples(number, np.arange(N))


def test_a_random_permutation_is_the_unit() -> None:
    found = measure(np.random.default_rng(0).permutation(N), N, 100, LABELS)
    assert found.displacement == pytest.approx(1, abs=0.02)
    assert found.neighbours == pytest.approx(0, abs=0.03)
    assert found.balance == pytest.approx(1, abs=0.15)


def test_the_packs_own_order_is_told_from_it() -> None:
    found = measure(epoch(False), N, 100, LABELS)
    assert found.displacement == 0
    assert found.neighbours > 0.999
    assert found.balance is not None and found.balance > 50


def test_the_global_order_is_as_good_as_random() -> None:
    found = measure(epoch(True), N, 100, LABELS)
    assert found.displacement == pytest.approx(1, abs=0.02)
    assert abs(found.neighbours) < 0.03
    assert found.balance == pytest.approx(1, abs=0.15)


def test_more_lanes_shuffle_better_and_one_small_window_hardly_at_all() -> None:
    narrow, wide = (measure(epoch(Window(lanes, 64)), N, 100, LABELS) for lanes in (1, 64))
    assert narrow.neighbours > 0.9 and narrow.balance is not None and narrow.balance > 30
    assert wide.balance is not None and wide.balance < 1.2
    assert wide.neighbours < 0.99


def test_the_beginning_of_a_random_epoch_has_the_same_figures() -> None:
    order = np.random.default_rng(1).permutation(N)
    assert measure(order[:2000], N, 100).displacement == pytest.approx(1, abs=0.06)


@given(n=st.integers(2, 40), batch_size=st.integers(1, 50), seed=st.integers(0, 99))
def test_small_orders_have_finite_figures(n: int, batch_size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    found = measure(random.permutation(n), n, batch_size, random.integers(0, 3, n))
    assert np.isfinite([found.displacement, found.neighbours, found.balance or 0]).all()


def test_one_class_or_one_batch_has_no_balance() -> None:
    assert measure(np.arange(9), 9, 2, np.zeros(9, np.int64)).balance is None
    assert measure(np.arange(9), 9, 9, np.arange(9)).balance is None


@pytest.mark.parametrize("samples", [[0], [], [0, 0], [0, 9], [-1, 1]])
def test_what_is_no_order_is_refused(samples: list[int]) -> None:
    with pytest.raises(UsageError, match="no order"):
        measure(np.array(samples, np.int64), 5, 2)
