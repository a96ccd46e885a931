"""Crops to a smaller size: at random to train, in the centre to evaluate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsets import numbers
from dsets.errors import UsageError
from dsets.transforms import random
from dsets.transforms.random import Draws
from dsets.transforms.view import Views


@dataclass(frozen=True, slots=True)
class Crop:
    """A window of ``size`` (one number, or height and width) at a random place of each image.

    Every place is equally likely: offsets are uniform in 0 … image size - window size, both
    included (Krizhevsky et al. 2012, section 4.1, has 224 of 256: 33 by 33 places).
    """

    size: tuple[int, int]

    def __init__(self, size: int | tuple[int, int]) -> None:
        object.__setattr__(self, "size", pixels("Crop", size))

    def choose(self, views: Views, draws: Draws) -> Views:
        """Words 0 and 1 of purpose CROP give the row and the column of the window's corner."""
        down, right, _, _ = draws.words(random.CROP)
        height, width = views.size
        return views.windowed(
            random.below(down, height - self.size[0] + 1),
            random.below(right, width - self.size[1] + 1),
            self.size,
        )


@dataclass(frozen=True, slots=True)
class CentreCrop:
    """The window of ``size`` (one number, or height and width) in the centre of each image.

    Where it cannot stand in the very centre it stands half a pixel further up, further left.
    """

    size: tuple[int, int]

    def __init__(self, size: int | tuple[int, int]) -> None:
        object.__setattr__(self, "size", pixels("CentreCrop", size))

    def choose(self, views: Views, draws: Draws) -> Views:
        """No choice at all."""
        height, width = views.size
        return views.windowed(
            np.full(len(draws.key_hash), (height - self.size[0]) // 2, np.int64),
            np.full(len(draws.key_hash), (width - self.size[1]) // 2, np.int64),
            self.size,
        )


def pixels(where: str, size: object) -> tuple[int, int]:
    """Height and width from one number or two. Raises UsageError where they are neither."""
    height, width = map(numbers.index, numbers.pair(size) or (size, size))
    if height is None or width is None or min(height, width) < 1:
        raise UsageError(
            "bad size",
            where=where,
            expected="pixels: 224, or (height, width)",
            got=numbers.written(size),
        )
    return (height, width)
