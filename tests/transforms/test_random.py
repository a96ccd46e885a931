from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets.transforms import random
from dsets.transforms.random import Draws


def word(value: int) -> np.ndarray:
    return np.array([value], np.uint64)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        (
            (0, 0, 0, 0),
            (0, 0),
            (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_known_answers_of_random123_hold(
    counter: tuple[int, int, int, int], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    a, b, c, d = map(word, counter)
    assert tuple(int(w[0]) for w in random.philox((a, b, c, d), key)) == expected


@given(
    key_hash=st.lists(st.integers(0, 2**64 - 1), max_size=20),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 2**32 - 1),
)
def test_a_samples_words_do_not_depend_on_the_samples_beside_it(
    key_hash: list[int], seed: int, epoch: int
) -> None:
    together = Draws(seed, epoch, np.array(key_hash, np.uint64)).words(random.CROP)
    for row, value in enumerate(key_hash):
        alone = Draws(seed, epoch, word(value)).words(random.CROP)
        assert [int(w[row]) for w in together] == [int(w[0]) for w in alone]


def test_seed_epoch_purpose_and_both_halves_of_the_key_hash_matter() -> None:
    def words(seed: int, epoch: int, key_hash: int, purpose: int) -> tuple[int, ...]:
        return tuple(int(w[0]) for w in Draws(seed, epoch, word(key_hash)).words(purpose))

    arguments = (1, 2, 3, 4)
    others = [(2, 2, 3, 4), (1, 3, 3, 4), (1, 2, 4, 4), (1, 2, 3 + 2**32, 4), (1, 2, 3, 5)]
    assert len({words(*arguments), *(words(*other) for other in others)}) == 6
    assert words(2, 1, 3, 4) != words(1, 2, 3, 4)


@given(value=st.integers(0, 2**32 - 1), bound=st.integers(1, 2**31))
def test_bounded_integers_stay_below_their_bound(value: int, bound: int) -> None:
    assert 0 <= random.below(word(value), bound)[0] < bound
    assert random.below(word(value), bound)[0] == value * bound // 2**32


@pytest.mark.parametrize("bound", [2, 9, 33])
@pytest.mark.parametrize("which", range(4))
def test_bounded_integers_are_uniform(bound: int, which: int) -> None:
    key_hash = np.random.default_rng(1).integers(0, 2**64, 60_000, dtype=np.uint64)
    drawn = random.below(Draws(0, 0, key_hash).words(random.CROP)[which], bound)
    expected = len(drawn) / bound
    chi_square = ((np.bincount(drawn, minlength=bound) - expected) ** 2 / expected).sum()
    assert abs(chi_square - (bound - 1)) < 5 * (2 * (bound - 1)) ** 0.5
