"""Random horizontal mirror image."""

from __future__ import annotations

from dataclasses import dataclass

from dsets.transforms import random
from dsets.transforms.random import Draws
from dsets.transforms.view import Views


@dataclass(frozen=True, slots=True)
class Flip:
    """Mirror each image left to right with probability 1/2."""

    def choose(self, views: Views, draws: Draws) -> Views:
        """The top bit of word 0 of purpose FLIP decides."""
        word, _, _, _ = draws.words(random.FLIP)
        return views.flipped(random.below(word, 2) == 1)
