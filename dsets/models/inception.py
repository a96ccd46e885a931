"""What the Inception nets share: branches side by side, convolutions with their ReLU, the first
weights."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor, nn

from dsets.errors import TrainError

#: A kernel's side, or its height and width.
Sides = int | tuple[int, int]


class Branches(nn.Module):
    """All branches see the same maps; their outputs are put one after the other by channel."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([branch(maps) for branch in self.branches], 1)


class Unit(nn.Sequential):
    """Convolution, batch norm, ReLU. ``padded`` keeps the size (at stride 1)."""

    def __init__(
        self, inputs: int, outputs: int, sides: Sides, stride: int = 1, *, padded: bool = True
    ) -> None:
        height, width = sides if isinstance(sides, tuple) else (sides, sides)
        padding = (height // 2, width // 2) if padded else (0, 0)
        super().__init__(
            nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False),
            nn.BatchNorm2d(outputs, eps=0.001),
            nn.ReLU(),
        )


def chain(inputs: int, *steps: tuple[int, Sides]) -> nn.Sequential:
    """Units one after the other; a step is (outputs, sides)."""
    units = []
    for outputs, sides in steps:
        units.append(Unit(inputs, outputs, sides))
        inputs = outputs
    return nn.Sequential(*units)


def halving(inputs: int, *steps: tuple[int, Sides]) -> nn.Sequential:
    """As ``chain``, but the last step has stride 2 and no padding."""
    *before, (outputs, sides) = steps
    last = before[-1][0] if before else inputs
    return nn.Sequential(*chain(inputs, *before), Unit(last, outputs, sides, 2, padded=False))


def mean_pool(*, outside: bool = False) -> nn.Module:
    """A mean of 3x3 at every place; what lies outside of the maps counts as zeros or not at all."""
    return nn.AvgPool2d(3, 1, padding=1, count_include_pad=outside)


def initialise(layer: nn.Module) -> None:
    # The Inception papers say nothing of first weights: ours are He et al.'s N(0, 2 / inputs).
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.normal_(layer.weight, std=sqrt(2 / layer.weight[0].numel()))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def channels_of(shape: Sequence[int], least: int) -> int:
    """The channels of images that must be ``least`` x ``least`` at least.

    Raises:
        TrainError: they are smaller.
    """
    height, width, channels = shape
    if min(height, width) < least:
        raise TrainError(
            "images are too small for this Inception",
            expected=f"at least {least}x{least}",
            got=f"{height}x{width}",
        )
    return channels


def stem(shape: Sequence[int]) -> list[tuple[str, nn.Module]]:
    """The first layers of the released Inception v3 and Inception-ResNet v2, up to 192 channels.

    Raises:
        TrainError: the images are smaller than 75x75.
    """
    return [
        ("conv1", Unit(channels_of(shape, 75), 32, 3, 2, padded=False)),
        ("conv2", Unit(32, 32, 3, padded=False)),
        ("conv3", Unit(32, 64, 3)),
        ("pool1", nn.MaxPool2d(3, 2)),
        ("conv4", Unit(64, 80, 1)),
        ("conv5", Unit(80, 192, 3, padded=False)),
        ("pool2", nn.MaxPool2d(3, 2)),
    ]
