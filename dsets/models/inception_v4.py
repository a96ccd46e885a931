"""Inception v4: Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the impact of
residual connections on learning", 2016, figures 3 to 9. 42,679,816 parameters, images of 299x299.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from dsets.models.inception import (
    Branches,
    Unit,
    chain,
    channels_of,
    halving,
    initialise,
    mean_pool,
)

#: Figure 9 (and 3, for the stem): output sizes.
PAPER = {
    "conv1": "149x149x32",
    "conv2": "147x147x32",
    "conv3": "147x147x64",
    "stem_a": "73x73x160",
    "stem_b": "71x71x192",
    "stem_c": "35x35x384",
    "a_4": "35x35x384",
    "reduction_a": "17x17x1024",
    "b_7": "17x17x1024",
    "reduction_b": "8x8x1536",
    "c_3": "8x8x1536",
    "mean": "1536",
    "fc": "1000",
}
WHOLE = {None: "parameters: not stated"}

_ROW, _COLUMN = (1, 7), (7, 1)


def inception_v4(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    Raises:
        TrainError: the images are smaller than 75x75.
    """
    named: list[tuple[str, nn.Module]] = [
        ("conv1", Unit(channels_of(shape, 75), 32, 3, 2, padded=False)),
        ("conv2", Unit(32, 32, 3, padded=False)),
        ("conv3", Unit(32, 64, 3)),
        ("stem_a", Branches(nn.MaxPool2d(3, 2), halving(64, (96, 3)))),
        (
            "stem_b",
            Branches(
                nn.Sequential(Unit(160, 64, 1), Unit(64, 96, 3, padded=False)),
                nn.Sequential(
                    *chain(160, (64, 1), (64, _ROW), (64, _COLUMN)), Unit(64, 96, 3, padded=False)
                ),
            ),
        ),
        ("stem_c", Branches(halving(192, (192, 3)), nn.MaxPool2d(3, 2))),
        *((f"a_{place}", _figure4()) for place in range(1, 5)),
        (
            "reduction_a",  # figure 7 with k, l, m, n = 192, 224, 256, 384 (table 1)
            Branches(
                halving(384, (384, 3)),
                halving(384, (192, 1), (224, 3), (256, 3)),
                nn.MaxPool2d(3, 2),
            ),
        ),
        *((f"b_{place}", _figure5()) for place in range(1, 8)),
        (
            "reduction_b",  # figure 8
            Branches(
                halving(1024, (192, 1), (192, 3)),
                halving(1024, (256, 1), (256, _ROW), (320, _COLUMN), (320, 3)),
                nn.MaxPool2d(3, 2),
            ),
        ),
        *((f"c_{place}", _figure6()) for place in range(1, 4)),
        ("mean", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("drop", nn.Dropout(0.2)),  # "keep 0.8"
        ("fc", nn.Linear(1536, classes)),
    ]
    return nn.Sequential(OrderedDict(named)).apply(initialise)


def _figure4() -> nn.Module:
    return Branches(
        Unit(384, 96, 1),
        chain(384, (64, 1), (96, 3)),
        chain(384, (64, 1), (96, 3), (96, 3)),
        nn.Sequential(mean_pool(), Unit(384, 96, 1)),
    )


def _figure5() -> nn.Module:
    # The drawing has two 1x7 in a row in one branch; a 7x7 factorised is 1x7 and 7x1.
    return Branches(
        Unit(1024, 384, 1),
        chain(1024, (192, 1), (224, _ROW), (256, _COLUMN)),
        chain(1024, (192, 1), (192, _COLUMN), (224, _ROW), (224, _COLUMN), (256, _ROW)),
        nn.Sequential(mean_pool(), Unit(1024, 128, 1)),
    )


def _figure6() -> nn.Module:
    return Branches(
        Unit(1536, 256, 1),
        nn.Sequential(Unit(1536, 384, 1), _fork(384)),
        nn.Sequential(*chain(1536, (384, 1), (448, (3, 1)), (512, (1, 3))), _fork(512)),
        nn.Sequential(mean_pool(), Unit(1536, 256, 1)),
    )


def _fork(inputs: int) -> nn.Module:
    return Branches(Unit(inputs, 256, (1, 3)), Unit(inputs, 256, (3, 1)))
