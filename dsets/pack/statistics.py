"""Exact, order-free statistics of a pack's pixels: integer sums, and what is derived from them.

Only integers are stored and digested, so any number of workers, in any order, gives the same bits.
Means, deviations and principal components are worked out on reading, in grey levels 0-255 unless a
name says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from dsets import extension
from dsets.errors import UsageError
from dsets.pack import jacobi

Counts = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

#: Rows added up in 16 bits: 257 * 255 = 65,535 still fits, one more would not.
ROWS = 257
#: Pixels in a row of an image that is cut into rows to be counted.
ROW = 1024
#: Images added up in 32 bits: 2**24 * 255 still fits.
IMAGES = 2**24
#: Values of an image added up over all images at a time: their sums stay in the processor's cache.
VALUES = 2**14
#: Grey levels are multiplied less this, and so many products are added up in float32: 128 * 128 *
#: 2**10 = 2**24, so every partial sum is an integer that a float32 holds, in whatever order BLAS
#: adds. So small a product BLAS also leaves to one thread; the others would spin, waiting for it.
MIDDLE, PRODUCTS = 128, 2**10
#: Such blocks handed to BLAS in one call: as floats they still lie in the second cache.
BLOCKS = 16


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Statistics:
    """Integer sums over images of C channels; all uint64.

    images: (), how many. pixels: (), how many in all. sum: (H, W, C) when all have one size, else
    (C,). square_sum: (C,). outer_sum: (C, C), of the products of a pixel's channels. 64 bits hold
    the products of 2.8e14 pixels; a pack of more is refused.
    """

    images: Counts
    pixels: Counts
    sum: Counts
    square_sum: Counts
    outer_sum: Counts
    field: str = "image"

    def __repr__(self) -> str:
        return (
            f"Statistics({self.field}: images={int(self.images)}, pixels={int(self.pixels)}, "
            f"sum={self.sum.shape}, digest={self.digest[:16]}…)"
        )

    @staticmethod
    def of(
        images: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]], field: str = "image"
    ) -> Statistics:
        """The statistics of images, uint8: one array (n, H, W, C), or many of any sizes (H, W, C).

        Raises:
            UsageError: other types or shapes, or no image at all.
        """
        if isinstance(images, np.ndarray):
            _check(images)
            return _of_one_size([images], field)
        if not images:
            raise UsageError("no images to count")
        stacks = [image[None] for image in images]
        for stack in stacks:
            _check(stack)
        if len({stack.shape for stack in stacks}) == 1:
            return _of_one_size(stacks, field)
        return reduce(Statistics.merge, (_of_any_size(stack, field) for stack in stacks))

    def merge(self, other: Statistics) -> Statistics:
        """The statistics of both together, of images of any sizes. Commutative and associative.

        Raises:
            UsageError: the two are of another field or number of channels.
        """
        if self.field != other.field or self.channels != other.channels:
            raise UsageError(
                "cannot merge statistics",
                expected=f"{self.field}, {self.channels} channels",
                got=f"{other.field}, {other.channels}",
            )
        if self.sum.shape != other.sum.shape:
            self, other = _flattened(self), _flattened(other)
        if int(self.pixels) + int(other.pixels) >= 2**64 // 255**2:
            raise UsageError("too many pixels to count in 64 bits", got=int(self.pixels))
        pairs = zip(NAMES, self.arrays(), other.arrays(), strict=True)
        added = {name: np.add(mine, theirs) for name, mine, theirs in pairs}
        return Statistics(**added, field=self.field)

    def arrays(self) -> tuple[Counts, ...]:
        """The integer arrays, in the order of the fields."""
        return (self.images, self.pixels, self.sum, self.square_sum, self.outer_sum)

    @property
    def digest(self) -> str:
        """The sha256 over each array's name, shape and little-endian values."""
        digest = hashlib.sha256()
        for name, array in zip(NAMES, self.arrays(), strict=True):
            digest.update(f"{name}{list(array.shape)}".encode())
            digest.update(np.ascontiguousarray(array, "<u8").tobytes())
        return digest.hexdigest()

    @property
    def possible(self) -> bool:
        """False for sums that no images have, as a stranger's file may hold them."""
        squares = np.diagonal(self.outer_sum)
        spread = (
            int(self.pixels) * int(square) >= total**2
            for square, total in zip(squares, self.channel_sum, strict=True)
        )
        return (
            1 <= int(self.images) <= int(self.pixels)
            and np.array_equal(squares, self.square_sum)
            and np.array_equal(self.outer_sum, self.outer_sum.T)
            and all(spread)
        )

    @property
    def channels(self) -> int:
        return len(self.square_sum)

    @property
    def channel_sum(self) -> list[int]:
        """Σ over all pixels, a Python integer a channel."""
        return [int(total) for total in self.sum.reshape(-1, self.channels).sum(0, dtype=np.uint64)]

    @property
    def mean_image(self) -> Floats:
        """float64 (H, W, C).

        Raises:
            UsageError: the images are of different sizes, so there is none.
        """
        if self.sum.ndim != 3:
            raise UsageError("images of different sizes have no mean image", where=self.field)
        return self.sum.astype(np.float64) / float(self.images)

    @property
    def channel_mean(self) -> Floats:
        """float64 (C,)"""
        return np.array([total / int(self.pixels) for total in self.channel_sum])

    @property
    def channel_std(self) -> Floats:
        """float64 (C,): of the population, not of a sample."""
        return np.sqrt(np.diagonal(self.covariance))

    @property
    def covariance(self) -> Floats:
        """float64 (C, C), of the population: (N Σxy - Σx Σy) / N², exact up to the one division."""
        count, totals = int(self.pixels), self.channel_sum
        products = self.outer_sum.tolist()
        return np.array(
            [
                [(count * products[i][j] - a * b) / count**2 for j, b in enumerate(totals)]
                for i, a in enumerate(totals)
            ]
        )

    def pca(self) -> tuple[Floats, Floats]:
        """Eigenvalues (C,), falling, and eigenvectors as columns (C, C), of pixels in [0, 1].

        The lighting of Krizhevsky et al. 2012, section 4.1. The component of largest magnitude of
        each vector (the first of equals) is positive.
        """
        return jacobi.eigen(self.covariance / 255.0**2)


NAMES = tuple(field.name for field in fields(Statistics))[:-1]


def _check(images: npt.NDArray[np.uint8]) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise UsageError(
            "cannot count these images",
            expected="uint8 (n, height, width, channels), none of them 0",
            got=f"{images.dtype} {images.shape}",
        )


def _of_one_size(stacks: Sequence[npt.NDArray[np.uint8]], field: str) -> Statistics:
    """Of stacks (n, H, W, C), each of another n perhaps."""
    added, outer = _sums(stacks)
    return Statistics(
        images=np.array(sum(map(len, stacks)), np.uint64),
        pixels=np.array(sum(stack.size for stack in stacks) // len(outer), np.uint64),
        sum=added,
        square_sum=np.diagonal(outer).copy(),
        outer_sum=outer,
        field=field,
    )


def _of_any_size(image: npt.NDArray[np.uint8], field: str) -> Statistics:
    """Of one image (1, H, W, C) that has no place in a mean image: per channel only.

    Its pixels are counted as a stack of rows, whose sums stay in the processor's cache.
    """
    channels = image.shape[-1]
    pixels = image.reshape(-1, channels)
    whole = len(pixels) // ROW * ROW
    rows = pixels[:whole].reshape(-1, 1, ROW, channels), pixels[None, None, whole:]
    counted = (_flattened(_of_one_size([part], field)) for part in rows if part.size)
    return replace(reduce(Statistics.merge, counted), images=np.array(1, np.uint64))


def _flattened(of: Statistics) -> Statistics:
    """The same with ``sum`` per channel only: what images of different sizes have in common."""
    return replace(of, sum=of.sum.reshape(-1, of.channels).sum(0, dtype=np.uint64))


def _sums(
    stacks: Sequence[npt.NDArray[np.uint8]], *, native: bool = extension.native is not None
) -> tuple[Counts, Counts]:
    """uint64 (H, W, C) and (C, C): Σ over the images, and Σ of the products of channels.

    The extension's one pass over the pixels is four times as fast as NumPy's two.
    """
    shape = stacks[0].shape[1:]
    channels = shape[-1]
    total, outer = np.zeros(shape, np.uint64), np.zeros((channels, channels), np.uint64)
    if not native or channels not in (1, 3):
        pixels = 0
        for stack in map(np.ascontiguousarray, stacks):
            total += _sum(stack)
            outer += _outer(stack.reshape(-1), channels)
            pixels += stack.size // channels
        # Σxy = Σ(x - m)(y - m) + m Σx + m Σy - N m², modulo 2**64, below which the result is
        sums = np.array([total[..., channel].sum() for channel in range(channels)], np.uint64)
        outer += np.uint64(MIDDLE) * (sums[:, None] + sums)
        return total, outer - np.uint64(MIDDLE**2 * pixels % 2**64)
    squares = np.zeros(channels, np.uint64)
    part, held = np.zeros(shape, np.uint32), 0
    for stack in map(np.ascontiguousarray, stacks):
        for start in range(0, len(stack), IMAGES):
            images = stack[start : start + IMAGES]
            if held + len(images) > IMAGES:
                total += part
                part[:], held = 0, 0
            extension.native.statistics(images, part, squares, outer, channels)
            held += len(images)
    return total + part, outer


def _sum(images: npt.NDArray[np.uint8]) -> Counts:
    """uint64 (H, W, C): Σ over the images."""
    flat = images.reshape(len(images), -1)
    total = np.zeros(flat.shape[1], np.uint64)
    for start in range(0, len(flat), ROWS):
        for at in range(0, len(total), VALUES):
            part = flat[start : start + ROWS, at : at + VALUES]
            total[at : at + VALUES] += np.add.reduce(part, axis=0, dtype=np.uint16)
    return total.reshape(images.shape[1:])


def _outer(values: npt.NDArray[np.uint8], channels: int) -> Counts:
    """uint64 (C, C), modulo 2**64: Σ over the pixels of their channels' products, less MIDDLE each.

    Several pixels are laid side by side into one row, since BLAS is slow on very narrow matrices;
    the diagonal blocks of the product are the sums wanted.
    """
    fold = max(1, 12 // channels)
    total = np.zeros((channels, channels), np.int64)
    whole = values.size // (channels * fold) * (channels * fold)
    for part, side in ((values[:whole], fold), (values[whole:], 1)):
        rows = part.reshape(-1, channels * side)
        even = len(rows) // PRODUCTS * PRODUCTS
        added = np.zeros((channels * side, channels * side))  # below 2**53 for 2**39 pixels
        for blocks in (rows[:even].reshape(-1, PRODUCTS, channels * side), rows[None, even:]):
            signed = np.empty((min(len(blocks), BLOCKS), *blocks.shape[1:]), np.uint8)
            levels = np.empty(signed.shape, np.float32)
            for start in range(0, len(blocks), BLOCKS):
                some = blocks[start : start + BLOCKS]
                count = len(some)
                # The top bit the other way round, read as a sign: less MIDDLE, in a byte.
                np.bitwise_xor(some, MIDDLE, out=signed[:count])
                levels[:count] = signed[:count].view(np.int8)
                products = np.matmul(levels[:count].transpose(0, 2, 1), levels[:count])
                added += products.sum(0, dtype=np.float64)
        by_place = added.reshape(side, channels, side, channels)
        total += sum(by_place[k, :, k].astype(np.int64) for k in range(side))
    return total.view(np.uint64)
