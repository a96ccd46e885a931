"""How many images a process computes in a step, and whether the model can compute so few."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from dsets import models
from dsets.errors import TrainError

#: Other batch sizes that are tried for a remedy.
_NEAR = 64


@dataclass(frozen=True, slots=True)
class Shares:
    """Batches of ``batch_size`` of so many ``samples``, each divided between ``ranks`` processes;
    a run of fewer than an epoch's steps says how many, in ``steps``."""

    samples: int
    batch_size: int
    ranks: int
    steps: int = 0

    @property
    def least(self) -> int:
        """Images of a process in its smallest step, those of padding among them."""
        sizes = [min(self.batch_size, self.samples)]
        last = self.samples % self.batch_size
        if last and (not self.steps or self.steps * self.batch_size >= self.samples):
            sizes.append(last)
        return min(-(-size // self.ranks) for size in sizes)


def check(model: str, shape: tuple[int, int, int], classes: int, shares: Shares) -> None:
    """Refuse images and batches that the model cannot be trained on; nothing is computed.

    Batch norm over maps of one value needs two images: every step of such a net must have them,
    in each process. No image is left out of an epoch, or counted twice, to make it so.

    Raises:
        TrainError: the images are too small for the model, or a step would have one of them.
    """
    height, width, channels = shape
    with torch.device("meta"):
        net = models.find(model).build(shape, classes)
        if shares.least > 1:
            return
        try:
            net.train()(torch.empty(1, channels, height, width))
        except ValueError as error:  # "more than 1 value per channel", of each batch norm
            others = (replace(shares, batch_size=shares.batch_size + n) for n in range(1, _NEAR))
            larger = next((one.batch_size for one in others if one.least > 1), None)
            sizes = f" ({larger} would do)" if larger else ""
            raise TrainError(
                "batch norm cannot be computed over one image, where its maps are 1x1",
                where=f"{model} of {height}x{width}",
                expected="two images or more for each process in every step",
                got=f"{shares.samples:,} images in batches of {shares.batch_size:,} for "
                f"{shares.ranks} process{'es' * (shares.ranks > 1)}: one in "
                + ("the last" if shares.samples > shares.batch_size > shares.ranks else "each"),
                remedy=f"give another --batch-size{sizes}, or larger images",
            ) from error
