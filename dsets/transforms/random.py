"""Random choices as a pure function of (seed, epoch, sample, purpose), by integer arithmetic alone.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011)
turns a counter and a key into four random words without any state, so a sample's crop is the same
in every batch, on every rank, thread and machine:

    key      (seed, epoch)
    counter  (low word of the sample's key hash, its high word, purpose, turn)

A purpose that needs more than four words takes several turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Who asks: choices with different purposes are independent. Never renumber: results would change.
CROP, FLIP, RESIZED_CROP, LIGHTING = 1, 2, 3, 4

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

Words = npt.NDArray[np.uint64]


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, ...]:
    """Four words below 2**32 for each counter. Counter words: uint64 (n,) below 2**32."""
    a, b, c, d = (np.array(words, np.uint64) for words in counter)
    first, second = np.empty_like(a), np.empty_like(a)
    for turn in range(_ROUNDS):
        left, right = (
            np.uint64((k + turn * w) & 0xFFFFFFFF) for k, w in zip(key, _WEYL, strict=True)
        )
        # In place: fresh memory for each of a hundred steps takes as long as the steps.
        np.multiply(a, _MULTIPLIERS[0], out=first)
        np.multiply(c, _MULTIPLIERS[1], out=second)
        for into, product, word, round_key in ((a, second, b, left), (c, first, d, right)):
            np.right_shift(product, _HALF, out=into)
            np.bitwise_xor(into, word, out=into)
            np.bitwise_xor(into, round_key, out=into)
            np.bitwise_and(product, _LOW, out=word)
    return a, b, c, d


def below(words: Words, bound: int | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Integers uniform in 0 … bound - 1 from words below 2**32, by multiply and shift.

    ``bound``, at most 2**32, is one for all or one for each.

    The probabilities of two results differ by at most 2**-32: for the offsets of a crop that is a
    relative bias below one in ten million, and it never needs a second draw.
    """
    return ((words * np.asarray(bound).astype(np.uint64)) >> _HALF).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Draws:
    """The random words of some samples in one epoch.

    ``seed`` and ``epoch`` are below 2**32; ``key_hash`` is uint64 (n,), as the pack stores it.
    """

    seed: int
    epoch: int
    key_hash: npt.NDArray[np.uint64]

    def words(self, purpose: int, turn: int = 0) -> tuple[Words, ...]:
        """Four arrays uint64 (n,) of words below 2**32."""
        low, high = self.key_hash & _LOW, self.key_hash >> _HALF
        third, fourth = np.full_like(low, purpose), np.full_like(low, turn)
        return philox((low, high, third, fourth), (self.seed, self.epoch))
