"""A keyed permutation of range(n), computed index by index in O(1) memory.

A Feistel network on the smallest power-of-two domain that holds n, walked along its cycle until the
result is below n (Black and Rogaway: "Ciphers with arbitrary finite domains", CT-RSA 2002). With b
bits, the low b // 2 and the high b - b // 2 bits take turns, the low half first:

    half ^= round_function(other half, round key), cut to the half's width

    round_function(x, (k, m)) = the top bits of  y * C,  y = z ^ (z >> 32),  z = (x ^ k) * (m | 1)

modulo 2**64, C = 0x9E3779B97F4A7C15. Round r's keys k and m are the little-endian words 2r and
2r + 1 of the SHA-256 blocks of "dsets order 1|<samples digest>|<seed>|<epoch>|<block number>", four
words a block. The test vectors are part of the promise: other numbers would be another order.

A tweak, a 64-bit number that comes with a position, is xored to k and to m in every round: many
small permutations are computed in one go.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_ROUNDS = 8
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)

#: Eight pairs of 64-bit numbers.
Keys = tuple[tuple[int, int], ...]
Words = npt.NDArray[np.uint64]


def round_keys(samples_digest: str, seed: int, epoch: int) -> Keys:
    """The keys of an epoch."""
    words: list[int] = []
    for block in range(_ROUNDS // 2):
        text = f"dsets order 1|{samples_digest}|{seed}|{epoch}|{block}"
        words += struct.unpack("<4Q", hashlib.sha256(text.encode()).digest())
    return tuple(zip(words[::2], words[1::2], strict=True))


def mix(words: Words) -> Words:
    """Other 64-bit words, one for one, that share no pattern with these: SplitMix64's finaliser.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    mixed = words + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), np.uint64)


@dataclass(frozen=True, slots=True)
class Permutation:
    """A permutation of range(n), 0 <= n <= 2**62, fixed by its round keys."""

    n: int
    keys: Keys

    def __call__(
        self, positions: npt.NDArray[np.int64], tweaks: Words | None = None
    ) -> npt.NDArray[np.int64]:
        """Where each position goes: int64, one for each of ``positions`` (m,), all in 0 … n - 1.

        Positions with the same of the ``tweaks`` (m,) are permuted together.
        """
        values = positions.astype(np.uint64)
        if self.n <= 1:
            return positions.astype(np.int64)
        self._encipher(values, tweaks)
        outside = np.flatnonzero(values >= np.uint64(self.n))
        while len(outside):
            walking = values[outside]
            self._encipher(walking, None if tweaks is None else tweaks[outside])
            values[outside] = walking
            outside = outside[walking >= np.uint64(self.n)]
        return values.astype(np.int64)

    def _encipher(self, values: Words, tweaks: Words | None) -> None:
        """One pass of the network over the power-of-two domain, in place."""
        bits = (self.n - 1).bit_length()
        widths = (bits // 2, bits - bits // 2)
        low, high = values & np.uint64((1 << widths[0]) - 1), values >> np.uint64(widths[0])
        mixed = np.empty_like(values)
        folded = np.empty_like(values)
        tweak = np.uint64(0) if tweaks is None else tweaks
        for turn, (key, multiplier) in enumerate(self.keys):
            half, other, width = (low, high, widths[0]) if turn % 2 == 0 else (high, low, widths[1])
            if width == 0:  # n = 2 has no low half, and a shift by 64 is undefined
                continue
            np.bitwise_xor(other, np.uint64(key) ^ tweak, out=mixed)
            odd = (np.uint64(multiplier) ^ tweak) | np.uint64(1)
            np.multiply(mixed, odd, out=mixed)
            np.right_shift(mixed, _HALF, out=folded)
            np.bitwise_xor(mixed, folded, out=mixed)
            np.multiply(mixed, _GOLDEN, out=mixed)
            np.right_shift(mixed, np.uint64(64 - width), out=mixed)
            np.bitwise_xor(half, mixed, out=half)
        np.left_shift(high, np.uint64(widths[0]), out=high)
        np.bitwise_or(low, high, out=values)
