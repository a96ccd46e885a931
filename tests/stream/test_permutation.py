from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsets.stream.permutation import Permutation, round_keys

DIGEST = hashlib.sha256(b"samples").hexdigest()


def permutation(n: int, seed: int = 0, epoch: int = 0) -> Permutation:
    return Permutation(n, round_keys(DIGEST, seed, epoch))


def whole(n: int, seed: int = 0, epoch: int = 0) -> np.ndarray:
    return permutation(n, seed, epoch)(np.arange(n))


@pytest.mark.parametrize("seed", range(3))
def test_promise_1_every_small_permutation_is_a_bijection(seed: int) -> None:
    for n in [*range(300), 511, 512, 513, 1023, 1025, 4095, 4096, 4097]:
        assert np.array_equal(np.sort(whole(n, seed, epoch=n)), np.arange(n)), n


@given(
    n=st.integers(2, 2**40),
    seed=st.integers(0, 2**32 - 1),
    start=st.integers(0, 2**40),
    count=st.integers(1, 3000),
)
@settings(max_examples=60, deadline=None)
def test_a_large_permutation_stays_in_range_and_never_collides(
    n: int, seed: int, start: int, count: int
) -> None:
    first = start % n
    positions = np.arange(first, min(n, first + count))
    images = permutation(n, seed)(positions)
    assert images.dtype == np.int64 and images.min() >= 0 and images.max() < n
    assert len(np.unique(images)) == len(positions)


@given(n=st.integers(1, 2**40), at=st.integers(0, 2**40), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_promise_1_a_position_goes_to_the_same_place_alone_and_among_others(
    n: int, at: int, seed: int
) -> None:
    position = at % n
    among = np.unique(np.clip(position + np.arange(-50, 50), 0, n - 1))
    alone = permutation(n, seed)(np.array([position]))
    assert alone[0] == permutation(n, seed)(among)[among == position][0]


def test_promise_1_the_test_vectors_hold_for_ever() -> None:
    assert whole(10).tolist() == [8, 1, 0, 4, 6, 2, 9, 3, 7, 5]
    assert whole(16, seed=1).tolist() == [12, 0, 2, 9, 7, 5, 15, 4, 10, 13, 8, 1, 11, 14, 6, 3]
    assert permutation(60_000, 7, 3)(np.arange(5)).tolist() == [30940, 48595, 30340, 57605, 17126]
    assert permutation(2**40 - 1, 2**32 - 1, 9)(np.array([0, 1, 2**39])).tolist() == [
        865196185052,
        729002597357,
        283630422948,
    ]


def test_the_definition_in_plain_integers_gives_the_same_numbers() -> None:
    n, keys = 1000, round_keys(DIGEST, 5, 2)
    bits = (n - 1).bit_length()

    def encipher(value: int) -> int:
        widths = [bits // 2, bits - bits // 2]
        halves = [value & ((1 << widths[0]) - 1), value >> widths[0]]
        for turn, (key, multiplier) in enumerate(keys):
            mine, other = turn % 2, 1 - turn % 2
            z = ((halves[other] ^ key) * (multiplier | 1)) % 2**64
            y = ((z ^ (z >> 32)) * 0x9E3779B97F4A7C15) % 2**64
            halves[mine] ^= y >> (64 - widths[mine])
        return halves[1] << widths[0] | halves[0]

    def walk(value: int) -> int:
        value = encipher(value)
        while value >= n:
            value = encipher(value)
        return value

    assert whole(n, 5, 2).tolist() == [walk(position) for position in range(n)]


def chi_square(observed: np.ndarray, expected: float) -> float:
    return float(((observed - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("n", [10, 97, 128])
def test_every_sample_is_as_likely_at_every_position(n: int) -> None:
    """Over many epochs; five standard deviations of the chi-square law with (n-1)² freedoms."""
    epochs = 40 * n
    counts = np.zeros((n, n))
    for epoch in range(epochs):
        counts[np.arange(n), whole(n, seed=3, epoch=epoch)] += 1
    freedoms = (n - 1) ** 2
    assert abs(chi_square(counts, epochs / n) - freedoms) < 5 * (2 * freedoms) ** 0.5


@pytest.mark.parametrize("n", [50_000, 60_000, 65_536])
def test_neighbours_are_scattered(n: int) -> None:
    """The distance from one sample to the next is spread as it is for a random permutation."""
    order = whole(n, seed=1)
    steps = np.bincount((np.diff(order) % n) * 100 // n, minlength=100)
    assert abs(chi_square(steps, (n - 1) / 100) - 99) < 5 * (2 * 99) ** 0.5
    rising = np.count_nonzero(np.diff(order) > 0)
    assert abs(rising - n / 2) < 5 * (n / 12) ** 0.5


@pytest.mark.parametrize("change", ["epoch", "seed"])
def test_successive_epochs_and_seeds_are_uncorrelated(change: str) -> None:
    n = 20_000
    orders = [whole(n, **{change: value}).astype(float) for value in range(6)]
    for one in range(6):
        for other in range(one):
            correlation = np.corrcoef(orders[one], orders[other])[0, 1]
            assert abs(correlation) < 5 / n**0.5
            same = np.count_nonzero(orders[one] == orders[other])
            assert same < 10  # a Poisson law of mean 1


def test_promise_1_other_samples_have_another_order() -> None:
    other = Permutation(1000, round_keys(hashlib.sha256(b"others").hexdigest(), 0, 0))
    assert np.count_nonzero(other(np.arange(1000)) == whole(1000)) < 12
