"""The digits dataset: stroke-drawn digits in MNIST's own format, made by integer arithmetic alone.

No floating point, no compressor and no library's random generator is involved, so the four files
have the same bytes on every platform, and ``manifests/digits.toml`` can state their digests.

A digit is one of the ways people write it. Its points are moved by a random 5 x 5 lattice, scaled,
slanted, tilted and shifted; a pixel's ink falls with its squared distance from the nearest point,
which softens the edge; then come contrast and noise. Every random number is a hash of
(sample, slot), so a picture depends on nothing but its sample's number and digit.
"""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dsets.atomic import replacing

from ._glyphs import GLYPHS, Stroke

SIDE = 28  # pixels
#: The files' prefix → first sample, number of samples.
SPLITS = {"train": (0, 12_000), "t10k": (12_000, 2_000)}
#: Pixels are drawn in chunks that fit the processor's cache.
CHUNK = 128

Ints: TypeAlias = npt.NDArray[np.int32]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint64]

# A sample's slots of random numbers. A number drawn around a middle takes two.
SLOTS = 1024
LABEL, WAY = 0, 1
WIDE, HIGH, SLANT, TILT, RIGHT, DOWN, PEN, INK, GRAIN = range(2, 20, 2)
LATTICE = np.arange(20, 120, 2, dtype=np.uint64).reshape(2, 25)
PIXELS = np.arange(128, 128 + SIDE * SIDE, dtype=np.uint64).reshape(SIDE, SIDE)


def write(folder: Path) -> None:
    """Write the four files into ``folder``, which is made if absent. Takes a few seconds."""
    for prefix, (first, count) in SPLITS.items():
        sample = np.arange(first, first + count, dtype=np.uint64)
        label = labels(sample)
        _write(folder.joinpath(f"{prefix}-labels-idx1-ubyte.gz"), _idx(label))
        _write(folder.joinpath(f"{prefix}-images-idx3-ubyte.gz"), _idx(images(sample, label)))


def labels(sample: Words) -> Bytes:
    """uint8 (n,): every digit equally often, in shuffled order."""
    order = np.argsort(_draw(sample, LABEL), kind="stable")
    return (order % 10).astype(np.uint8)


def images(sample: Words, label: Bytes) -> Bytes:
    """uint8 (n, 28, 28), ink on black: the pictures of these samples of these digits."""
    result = np.empty((len(sample), SIDE, SIDE), np.uint8)
    for digit, ways in enumerate(GLYPHS):
        choice = _below(len(ways), sample, WAY)
        for way, strokes in enumerate(ways):
            (rows,) = np.nonzero((label == digit) & (choice == way))
            for start in range(0, len(rows), CHUNK):
                chunk = rows[start : start + CHUNK]
                result[chunk] = _drawn(_points(strokes), sample[chunk])
    return result


def _drawn(points: Ints, sample: Words) -> Bytes:
    """uint8 (n, 28, 28): these samples of one way to write a digit."""
    wide, high = _around(400, 90, sample, WIDE), _around(400, 90, sample, HIGH)
    slant, tilt = _around(0, 150, sample, SLANT), _around(0, 60, sample, TILT)
    right, down = _around(0, 44, sample, RIGHT), _around(0, 44, sample, DOWN)
    nodes = _around(0, 26, sample[:, None, None], LATTICE)
    x, y = np.moveaxis(points.T + (nodes @ _weights(points).T >> 12), 1, 0)[..., None]
    middle = SIDE * 16 // 2
    pixels = np.arange(8, SIDE * 16, 16, dtype=np.int32)
    across = (x * _column(wide) + y * _column(slant) >> 8) + _column(middle + right) - pixels
    along = (y * _column(high) + x * _column(tilt) >> 8) + _column(middle + down) - pixels
    pen = _around(14, 7, sample, PEN)
    picture = _inked(_nearest(across, along), pen, _around(215, 40, sample, INK))
    grain = _column(_around(60, 60, sample, GRAIN))
    noise = (_below(256, sample[:, None, None], PIXELS) - 128) * grain >> 8
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _nearest(across: Ints, along: Ints) -> Ints:
    """int32 (n, 28, 28): squared distance of a pixel from the nearest of k points, from (n, k, 28).

    Distances are sixteenths of a pixel. Squares far from any ink are cut, so sums fit 16 bits.
    """
    wide, high = (np.minimum(d * d, 2**14 - 1).astype(np.int16) for d in (across, along))
    nearest = np.full((len(wide), SIDE, SIDE), 2**15 - 1, np.int16)
    for k in range(wide.shape[1]):
        np.minimum(nearest, high[:, k, :, None] + wide[:, k, None, :], out=nearest)
    return nearest.astype(np.int32)


def _inked(square: Ints, pen: Ints, ink: Ints) -> Ints:
    """int32 (n, 28, 28): full ``ink`` within ``pen`` sixteenths of a pixel, none 12 further out."""
    inner, outer = _column(pen * pen), _column((pen + 12) * (pen + 12))
    return np.clip((outer - square) * _column(ink) // (outer - inner), 0, _column(ink))


def _column(values: Ints) -> Ints:
    """(n, 1, 1)"""
    return values[:, None, None]


def _points(strokes: tuple[Stroke, ...]) -> Ints:
    """int32 (k, 2): the strokes as (x, y), less than a pixel apart."""
    found = []
    for stroke in strokes:
        for (x, y), (to_x, to_y) in pairwise(stroke):
            steps = max(abs(to_x - x), abs(to_y - y)) // 8 + 1
            found += [
                (x + (to_x - x) * k // steps, y + (to_y - y) * k // steps) for k in range(steps)
            ]
        found.append(stroke[-1])
    return np.array(found, np.int32)


def _weights(points: Ints) -> Ints:
    """int32 (k, 25): how much a point moves with each lattice node, bilinear, in 4096ths."""
    result = np.zeros((len(points), 5, 5), np.int32)
    (column, right), (row, down) = (
        np.divmod(points.T[0] + 128, 64),
        np.divmod(points.T[1] + 128, 64),
    )
    each = np.arange(len(points))
    result[each, row, column] = (64 - down) * (64 - right)
    result[each, row, column + 1] = (64 - down) * right
    result[each, row + 1, column] = down * (64 - right)
    result[each, row + 1, column + 1] = down * right
    return result.reshape(len(points), 25)


def _draw(sample: Words, slot: int | Words) -> Words:
    """uint64: the hash (SplitMix64's finaliser) of sample and slot."""
    word = sample * np.uint64(SLOTS) + np.asarray(slot, np.uint64)
    word = (word + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def _below(limit: int, sample: Words, slot: int | Words) -> Ints:
    """int32: uniform in 0 … limit - 1."""
    high = _draw(sample, slot) >> np.uint64(32)
    return (high * np.uint64(limit) >> np.uint64(32)).astype(np.int32)


def _around(middle: int, spread: int, sample: Words, slot: int | Words) -> Ints:
    """int32: from middle - spread to middle + spread, most often near the middle."""
    first, second = (_below(spread + 1, sample, slot + k) for k in (0, 1))
    return first + second + np.int32(middle - spread)


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as part:
        part.write_bytes(_gzip(data))


def _idx(array: Bytes) -> bytes:
    """IDX: two zeros, type (8 = uint8), rank, then a big-endian 32-bit size for each dimension."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def _gzip(data: bytes) -> bytes:
    """RFC 1952 around stored blocks: what a compressor emits differs between zlib and its kin."""
    blocks = []
    for start in range(0, max(len(data), 1), 2**16 - 1):
        block = data[start : start + 2**16 - 1]
        last = start + len(block) == len(data)
        blocks.append(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block)
    header = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    return header + b"".join(blocks) + struct.pack("<II", zlib.crc32(data), len(data) % 2**32)
