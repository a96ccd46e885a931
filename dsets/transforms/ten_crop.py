"""Ten-crop testing (Krizhevsky et al. 2012, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsets.transforms.crop import pixels
from dsets.transforms.random import Draws
from dsets.transforms.view import Views

CROPS = 10


@dataclass(frozen=True, slots=True)
class TenCrop:
    """Ten windows of ``size`` of each image, so that ``image`` is (n, 10, …): the corners top left,
    top right, bottom left, bottom right, the centre; then the mirror image of each.

    ``dsets.train.crops.average_softmax`` makes one prediction of the ten.
    """

    size: tuple[int, int]

    def __init__(self, size: int | tuple[int, int]) -> None:
        object.__setattr__(self, "size", pixels("TenCrop", size))

    def choose(self, views: Views, draws: Draws) -> Views:
        """No choice at all."""
        down, right = (
            np.reshape(whole - part, (-1, 1)).astype(np.int64)  # one size for all, or one each
            for whole, part in zip(views.size, self.size, strict=True)
        )
        top = np.hstack([down * 0, down * 0, down, down, down // 2] * 2)
        left = np.hstack([right * 0, right, right * 0, right, right // 2] * 2)
        mirrored = np.arange(CROPS) >= CROPS // 2
        rows = (len(draws.key_hash), CROPS)
        return Views(
            self.size,
            0,
            np.broadcast_to(top, rows),
            np.broadcast_to(left, rows),
            np.broadcast_to(mirrored, rows),
        )
