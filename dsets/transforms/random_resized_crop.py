"""Random resized crop (Szegedy et al. 2014, "Going deeper with convolutions", section 6).

A box of random area and shape, resized to one size: torchvision's ``RandomResizedCrop``, its ten
tries and its fallback, with every choice made by integer arithmetic, so that a box is the same on
every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isqrt

import numpy as np
import numpy.typing as npt

from dsets import numbers
from dsets.errors import UsageError
from dsets.transforms import random
from dsets.transforms.crop import pixels
from dsets.transforms.random import Draws
from dsets.transforms.view import Boxes, Views

TRIES = 10
#: Steps between the two aspect ratios, even in their logarithm.
STEPS = 4096
#: Fractional bits: of an area, of the square root of an aspect ratio, of an aspect ratio.
AREA, ROOT, RATIO = 24, 16, 24

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RandomResizedCrop:
    """A random box of each image, resized to ``size`` (one number, or height and width).

    The box has a fraction of the image's area that is uniform in ``area``, and an aspect ratio,
    width / height, whose logarithm is uniform in that of ``aspect``. It is resized by the bilinear
    filter, antialiased: profile ``exact`` of ``dsets.codecs``, applied to the box alone.
    """

    size: tuple[int, int]
    area: tuple[float, float]
    aspect: tuple[float, float]

    def __init__(
        self,
        size: int | tuple[int, int],
        area: tuple[float, float] = (0.08, 1.0),
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        object.__setattr__(self, "size", pixels("RandomResizedCrop", size))
        object.__setattr__(self, "area", _span("area", area, 2.0**-20, 1.0))
        object.__setattr__(self, "aspect", _span("aspect", aspect, 1 / 64, 64.0))

    def choose(self, views: Views, draws: Draws) -> Views:
        """The boxes within images that all have the size of ``views``."""
        height, width = views.size
        return views.resized(self.boxes(draws, height, width), self.size)

    def boxes(self, draws: Draws, height: int | Ints, width: int | Ints) -> Boxes:
        """The boxes of the drawn samples, n images of ``height`` and ``width``, below 2**19 each.

        Try t = 0 … 9 takes the four words of purpose RESIZED_CROP, turn t: area, aspect, top, left.
        With A the area in units of 2**-24, uniform between the bounds, both included, and k uniform
        in 0 … 4096:

            side     = floor(sqrt(height of image * width of image * A))        in 2**-12
            width    = (side * roots[k] + 2**27) >> 28
            height   = (side * inverses[k] + 2**27) >> 28

        with roots and inverses of ``tables``. The first try whose box is not empty and no larger
        than the image counts; its corner is uniform over all places. After ten tries it is the
        central box: the whole image, cut to the nearest aspect ratio of ``aspect``.
        """
        n = len(draws.key_hash)
        high = np.broadcast_to(np.asarray(height, np.int64), (n,))
        wide = np.broadcast_to(np.asarray(width, np.int64), (n,))
        found = _centred(high, wide, self.aspect)
        least, most = (round(share * (1 << AREA)) for share in self.area)
        roots, inverses = tables(self.aspect)
        open_ = np.arange(n)
        for turn in range(TRIES):
            if not len(open_):
                break
            rest = Draws(draws.seed, draws.epoch, draws.key_hash[open_])
            area, shape, down, right = rest.words(random.RESIZED_CROP, turn)
            h, w = high[open_], wide[open_]
            side = _isqrt(h * w * (least + random.below(area, most - least + 1)))
            k = random.below(shape, STEPS + 1)
            half, down_by = 1 << (AREA // 2 + ROOT - 1), AREA // 2 + ROOT
            box_w, box_h = ((side * factor[k] + half) >> down_by for factor in (roots, inverses))
            fits = (box_w > 0) & (box_w <= w) & (box_h > 0) & (box_h <= h)
            done = open_[fits]
            found.height[done], found.width[done] = box_h[fits], box_w[fits]
            found.top[done] = random.below(down[fits], (h - box_h)[fits] + 1)
            found.left[done] = random.below(right[fits], (w - box_w)[fits] + 1)
            open_ = open_[~fits]
        return found


@lru_cache(maxsize=16)
def tables(aspect: tuple[float, float]) -> tuple[Ints, Ints]:
    """int64 (4097,) each: the square roots of aspect ratios, and their inverses, in 2**-16.

    Ratio k is least * (most / least)**(k / 4096). Worked out in integers of 128 fractional bits,
    so that they round to the same everywhere.
    """
    bits = 128
    least, most = (Fraction(ratio) for ratio in aspect)
    step = _fixed(most / least, bits)
    for _ in range(STEPS.bit_length()):  # the 8192th root
        step = isqrt(step << bits)
    root = isqrt(_fixed(least, bits) << bits)
    roots, inverses = [], []
    for _ in range(STEPS + 1):
        roots.append(_rounded(root, bits))
        inverses.append(_rounded((1 << 2 * bits) // root, bits))
        root = root * step >> bits
    return np.array(roots, np.int64), np.array(inverses, np.int64)


def _fixed(value: Fraction, bits: int) -> int:
    return (value.numerator << bits) // value.denominator


def _rounded(value: int, bits: int) -> int:
    return (value + (1 << (bits - ROOT - 1))) >> (bits - ROOT)


def _isqrt(values: Ints) -> Ints:
    """floor(sqrt) of integers below 2**62. The processor's root is off by less than one."""
    root = np.sqrt(values.astype(np.float64)).astype(np.int64)
    root -= root * root > values
    root += (root + 1) * (root + 1) <= values
    return root


def _centred(high: Ints, wide: Ints, aspect: tuple[float, float]) -> Boxes:
    """The largest central boxes with an aspect ratio between the two; halves round up."""
    least, most = (round(ratio * (1 << RATIO)) for ratio in aspect)
    narrow, broad = wide << RATIO < least * high, wide << RATIO > most * high
    height = np.where(narrow, ((wide << RATIO) + least // 2) // least, high).clip(1, high)
    width = np.where(broad, (high * most + (1 << (RATIO - 1))) >> RATIO, wide).clip(1, wide)
    return Boxes((high - height) // 2, (wide - width) // 2, height, width)


def _span(name: str, values: object, least: float, most: float) -> tuple[float, float]:
    bounds = numbers.floats(values)
    if bounds is None or bounds.shape != (2,) or not least <= bounds[0] <= bounds[1] <= most:
        raise UsageError(
            f"bad {name}",
            where="RandomResizedCrop",
            expected=f"two numbers from {least:g} to {most:g}, the smaller one first",
            got=numbers.written(values),
        )
    return (float(bounds[0]), float(bounds[1]))
