"""GoogLeNet: Szegedy et al., "Going deeper with convolutions", 2014, table 1 and section 5.

    conv 64 7x7/2 → pool → LRN → conv 64 1x1 → conv 192 3x3 → LRN → pool → 3a 3b → pool
        → 4a 4b 4c 4d 4e → pool → 5a 5b → mean → dropout 0.4 → dense

No batch norm; a ReLU after every convolution; 5x5 branches as in the table. 6,998,552 parameters,
13,378,280 with both auxiliary heads.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from dsets.models.inception import Branches, channels_of, initialise
from dsets.models.response_norm import LocalResponseNorm

#: Table 1's params and ops. From 4a on, and for the first convolution, the columns don't follow
#: from the table's own kernels: 4a to 5b are up to 7 % off in weights (ours by 1024: 366.8, 438.0,
#: 497.5, 590.5, 847.0, 1018.0, 1409.0), and conv1 would have 9.2K and 118M.
PAPER = {
    "conv1": "112x112x64, 2.7K, 34M",
    "pool1": "56x56x64",
    "conv2": "56x56x192, 112K and 360M with reduce2",
    "pool2": "28x28x192",
    "inception_3a": "28x28x256, 159K, 128M",
    "inception_3b": "28x28x480, 380K, 304M",
    "pool3": "14x14x480",
    "inception_4a": "14x14x512, 364K, 73M",
    "inception_4b": "14x14x512, 437K, 88M",
    "inception_4c": "14x14x512, 463K, 100M",
    "inception_4d": "14x14x528, 580K, 119M",
    "inception_4e": "14x14x832, 840K, 170M",
    "pool4": "7x7x832",
    "inception_5a": "7x7x832, 1072K, 54M",
    "inception_5b": "7x7x1024, 1388K, 71M",
    "mean": "1x1x1024",
    "fc": "1x1x1000, 1000K, 1M",
}
#: Section 1; the multiply-adds are the budget of "most of the experiments".
WHOLE = {
    heads: "12 times fewer parameters than AlexNet, budget of 1.5 x 10^9 multiply-adds"
    for heads in (False, True)
}

#: Table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
TABLE = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(shape: tuple[int, int, int], classes: int, *, heads: bool) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    With ``heads``, and while training, a tuple: the net's own logits and those of the heads after
    4a and 4d, whose losses count 0.3 each (section 5).

    Raises:
        TrainError: the images are smaller than 224x224 (with heads) or 32x32.
    """
    channels = channels_of(shape, 224 if heads else 32)
    named: list[tuple[str, nn.Module]] = [
        ("conv1", _conv(channels, 64, 7, 2)),
        ("pool1", _pool()),
        ("norm1", _norm()),
        ("reduce2", _conv(64, 64, 1)),
        ("conv2", _conv(64, 192, 3)),
        ("norm2", _norm()),
        ("pool2", _pool()),
    ]
    inputs = 192
    for name, row in TABLE.items():
        if name in ("4a", "5a"):
            named.append(("pool3" if name == "4a" else "pool4", _pool()))
        named.append((f"inception_{name}", _inception(inputs, *row)))
        inputs = row[0] + row[2] + row[4] + row[5]
        if heads and name in ("4a", "4d"):
            named.append((f"head_{name}", Head(inputs, _head_side(shape), classes)))
    named += [
        ("mean", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("drop", nn.Dropout(0.4)),
        ("fc", nn.Linear(inputs, classes)),
    ]
    return WithHeads(OrderedDict(named)).apply(initialise)


class Head(nn.Sequential):
    """Section 5: mean 5x5/3, 128 of 1x1, dense 1024, dropout 0.7, dense."""

    def __init__(self, inputs: int, sides: tuple[int, int], classes: int) -> None:
        super().__init__(
            nn.AvgPool2d(5, 3),
            nn.Conv2d(inputs, 128, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(128 * sides[0] * sides[1], 1024),
            nn.ReLU(),
            nn.Dropout(0.7),
            nn.Linear(1024, classes),
        )


class WithHeads(nn.Sequential):
    """Layers in their order, where a ``Head`` looks at the maps and passes them on as they are."""

    def forward(self, maps: Tensor) -> Any:
        seen = []
        for layer in self:
            if not isinstance(layer, Head):
                maps = layer(maps)
            elif self.training:  # "at inference time, these auxiliary networks are discarded"
                seen.append(layer(maps))
        return (maps, *seen) if seen else maps


def _inception(
    inputs: int, one: int, reduce3: int, three: int, reduce5: int, five: int, projected: int
) -> nn.Module:
    """Figure 2b; the arguments are the columns of table 1."""
    return Branches(
        _conv(inputs, one, 1),
        nn.Sequential(_conv(inputs, reduce3, 1), _conv(reduce3, three, 3)),
        nn.Sequential(_conv(inputs, reduce5, 1), _conv(reduce5, five, 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _conv(inputs, projected, 1)),
    )


def _conv(inputs: int, outputs: int, side: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, side, stride, side // 2), nn.ReLU())


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, 2, ceil_mode=True)  # 112 → 56 → 28 → 14 → 7 as in the table


def _norm() -> nn.Module:
    # Figure 3 says LocalRespNorm and no numbers: AlexNet's; torch divides alpha by 5.
    return LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)


def _head_side(shape: tuple[int, int, int]) -> tuple[int, int]:
    """The sides of a head's mean pool: 4x4 for 224x224, as in section 5."""
    height, width = (_side(side) for side in shape[:2])
    return (height - 5) // 3 + 1, (width - 5) // 3 + 1


def _side(side: int) -> int:
    """The side of the maps of 4a to 4e: the convolution halves it upwards, three pools downwards.

    (A pool of 3 with stride 2 has no window that begins at an odd side's last pixel.)
    """
    return -(-side // 2) // 8
