"""Inception v2, "BN-Inception": Ioffe, Szegedy, "Batch normalization", 2015, figure 5.

GoogLeNet with batch norm at every convolution, a 5x5 replaced by two 3x3, and blocks of stride 2
(3c and 4e) in place of the pools between stages. 11,285,224 parameters. The paper says 13.6 million
(section 4.2), which its figure doesn't give; the widely used weights have 11,295,240, the 10,016
more being biases of the convolutions, which the batch norm behind each takes away again.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf

from torch import nn

from dsets.models.inception import Branches, Unit, chain, channels_of, initialise

#: Figure 5's output sizes. 4c's and 4d's own columns add up to 608 channels, not 576, and so 4e's
#: to 1056, not 1024; we follow the columns, as published weights do.
PAPER = {
    "conv1": "112x112x64",
    "pool1": "56x56x64",
    "conv2": "56x56x192",
    "pool2": "28x28x192",
    "inception_3a": "28x28x256",
    "inception_3b": "28x28x320",
    "inception_3c": "576 channels",
    "inception_4a": "14x14x576",
    "inception_4b": "14x14x576",
    "inception_4c": "14x14x576 (its columns: 608)",
    "inception_4d": "14x14x576 (its columns: 608)",
    "inception_4e": "1024 channels (its columns: 1056)",
    "inception_5a": "7x7x1024",
    "inception_5b": "7x7x1024",
    "mean": "1x1x1024",
}
#: Section 4.2; figure 5's own columns add up to ours.
WHOLE = {None: "13.6 million parameters"}

#: Figure 5: #1x1, #3x3 reduce, #3x3, double #3x3 reduce, double #3x3, pool, its projection.
#: 0 in #1x1 marks stride 2, where the pool passes through.
TABLE = {
    "3a": (64, 64, 64, 64, 96, "mean", 32),
    "3b": (64, 64, 96, 64, 96, "mean", 64),
    "3c": (0, 128, 160, 64, 96, "max", 0),
    "4a": (224, 64, 96, 96, 128, "mean", 128),
    "4b": (192, 96, 128, 96, 128, "mean", 128),
    "4c": (160, 128, 160, 128, 160, "mean", 128),
    "4d": (96, 128, 192, 160, 192, "mean", 128),
    "4e": (0, 128, 192, 192, 256, "max", 0),
    "5a": (352, 192, 320, 160, 224, "mean", 128),
    "5b": (352, 192, 320, 192, 224, "max", 128),
}


def inception_v2(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    Raises:
        TrainError: the images are smaller than 32x32.
    """
    named: list[tuple[str, nn.Module]] = [
        ("conv1", Unit(channels_of(shape, 32), 64, 7, 2)),
        ("pool1", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("reduce2", Unit(64, 64, 1)),
        ("conv2", Unit(64, 192, 3)),
        ("pool2", nn.MaxPool2d(3, 2, ceil_mode=True)),
    ]
    inputs = 192
    for name, (one, reduce3, three, reduce_double, double, pool, projected) in TABLE.items():
        stride = 1 if one else 2
        pooled = _pool(pool, stride)
        branches: list[nn.Module] = [
            nn.Sequential(Unit(inputs, reduce3, 1), Unit(reduce3, three, 3, stride)),
            nn.Sequential(
                *chain(inputs, (reduce_double, 1), (double, 3)), Unit(double, double, 3, stride)
            ),
        ]
        if one:
            pooled = nn.Sequential(pooled, Unit(inputs, projected, 1))
            branches.insert(0, Unit(inputs, one, 1))
        named.append((f"inception_{name}", Branches(*branches, pooled)))
        inputs = one + three + double + (projected or inputs)
    named += [
        ("mean", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("fc", nn.Linear(inputs, classes)),
    ]
    return nn.Sequential(OrderedDict(named)).apply(initialise)


def _pool(kind: str, stride: int) -> nn.Module:
    if stride == 1:
        return nn.AvgPool2d(3, 1, padding=1) if kind == "mean" else nn.MaxPool2d(3, 1, padding=1)
    # The figure doesn't say where the windows lie that pass through. As in the published weights'
    # net the first begins at the first pixel (a convolution's begins before it) and the last ends
    # beyond the maps; by up to 2, since the convolutions keep the last pixel of an odd side.
    return nn.Sequential(nn.ConstantPad2d((0, 2, 0, 2), -inf), nn.MaxPool2d(3, 2))
