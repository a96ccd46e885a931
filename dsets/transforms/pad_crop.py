"""Random crop of the original size from the zero-padded image (He et al. 2015, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

from dsets.numbers import whole
from dsets.transforms import random
from dsets.transforms.random import Draws
from dsets.transforms.view import Views


@dataclass(frozen=True, slots=True)
class PadCrop:
    """Shift each image by up to ``padding`` pixels down or up, right or left, uniformly.

    What comes in from outside is 0, in the stored values (before Normalise).
    """

    padding: int

    def __post_init__(self) -> None:
        padding = whole("padding", self.padding, 0, 4096, "PadCrop", "0 to 4096 pixels")
        object.__setattr__(self, "padding", padding)

    def choose(self, views: Views, draws: Draws) -> Views:
        """Words 0 and 1 of purpose CROP give the row and the column of the window's corner."""
        down, right, _, _ = draws.words(random.CROP)
        places = 2 * self.padding + 1
        return views.shifted(
            random.below(down, places) - self.padding,
            random.below(right, places) - self.padding,
            self.padding,
        )
