"""Inception v3: Szegedy et al., "Rethinking the Inception architecture", 2015, table 1, figures 5
to 7. 23,834,568 parameters without the auxiliary head, for images of 299x299.

The table and the net that the authors released differ: the stem's 1x1 and its number of channels,
and the blocks' widths, which the paper doesn't give, are the released net's. The paper doesn't say
what its mean pools do at the borders: the first release leaves out what lies outside, the
implementations that are widely used since, torchvision's and timm's, count zeros there. So does
ours, and has their outputs.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from dsets.models.inception import (
    Branches,
    Unit,
    chain,
    halving,
    initialise,
    mean_pool,
    stem,
)

#: Table 1's output sizes (input sizes of the next row); its stem has three 3x3 where ours, the
#: released one, has 80 of 1x1 and 192 of 3x3.
PAPER = {
    "conv1": "149x149x32",
    "conv2": "147x147x32",
    "conv3": "147x147x64",
    "pool1": "73x73x64",
    "pool2": "35x35x192",
    "mixed_5d": "35x35x288",
    "mixed_6a": "17x17x768",
    "mixed_6e": "17x17x768",
    "mixed_7a": "8x8x1280",
    "mixed_7c": "8x8x2048",
    "fc": "1x1x1000",
}
#: The abstract.
WHOLE = {None: "less than 25 million parameters, 5 x 10^9 multiply-adds"}


def inception_v3(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    Raises:
        TrainError: the images are smaller than 75x75.
    """
    named: list[tuple[str, nn.Module]] = [
        *stem(shape),
        ("mixed_5b", _figure5(192, 32)),
        ("mixed_5c", _figure5(256, 64)),
        ("mixed_5d", _figure5(288, 64)),
        (
            "mixed_6a",
            Branches(
                halving(288, (384, 3)), halving(288, (64, 1), (96, 3), (96, 3)), nn.MaxPool2d(3, 2)
            ),
        ),
        ("mixed_6b", _figure6(128)),
        ("mixed_6c", _figure6(160)),
        ("mixed_6d", _figure6(160)),
        ("mixed_6e", _figure6(192)),
        (
            "mixed_7a",
            Branches(
                halving(768, (192, 1), (320, 3)),
                halving(768, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)),
                nn.MaxPool2d(3, 2),
            ),
        ),
        ("mixed_7b", _figure7(1280)),
        ("mixed_7c", _figure7(2048)),
        ("mean", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("drop", nn.Dropout(0.5)),  # the released net's; the paper doesn't say
        ("fc", nn.Linear(2048, classes)),
    ]
    return nn.Sequential(OrderedDict(named)).apply(initialise)


def _figure5(inputs: int, projected: int) -> nn.Module:
    """35x35: each 5x5 is two 3x3, but in one branch, which the released net left a 5x5."""
    return Branches(
        Unit(inputs, 64, 1),
        chain(inputs, (48, 1), (64, 5)),
        chain(inputs, (64, 1), (96, 3), (96, 3)),
        nn.Sequential(mean_pool(outside=True), Unit(inputs, projected, 1)),
    )


def _figure6(width: int) -> nn.Module:
    """17x17: 7x7 factorised into 1x7 and 7x1 (n = 7)."""
    row, column = (1, 7), (7, 1)
    return Branches(
        Unit(768, 192, 1),
        chain(768, (width, 1), (width, row), (192, column)),
        chain(768, (width, 1), (width, column), (width, row), (width, column), (192, row)),
        nn.Sequential(mean_pool(outside=True), Unit(768, 192, 1)),
    )


def _figure7(inputs: int) -> nn.Module:
    """8x8: wider, where 1x3 and 3x1 stand side by side."""
    return Branches(
        Unit(inputs, 320, 1),
        nn.Sequential(Unit(inputs, 384, 1), _fork(384, 384)),
        nn.Sequential(*chain(inputs, (448, 1), (384, 3)), _fork(384, 384)),
        nn.Sequential(mean_pool(outside=True), Unit(inputs, 192, 1)),
    )


def _fork(inputs: int, outputs: int) -> nn.Module:
    return Branches(Unit(inputs, outputs, (1, 3)), Unit(inputs, outputs, (3, 1)))
