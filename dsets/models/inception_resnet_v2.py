"""Inception-ResNet v2: Szegedy, Ioffe, Vanhoucke, Alemi, 2016, figures 15 to 19. 55,843,464
parameters, images of 299x299.

This is the net that the authors released and everybody counts, not the paper's drawing: its stem
is Inception v3's with one more block (the paper: v4's); it has 10, 20 and 10 residual blocks (the
paper: 5, 10, 5) of 320, 1088 and 2080 channels (figures 16, 17, 19: 384, 1154, 2048). So there are
no figures of the paper to stand beside its rows.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from dsets.models.inception import (
    Branches,
    Unit,
    chain,
    halving,
    initialise,
    mean_pool,
    stem,
)

WHOLE = {None: "parameters: not stated; the paper's drawing is another net"}


def inception_resnet_v2(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    Raises:
        TrainError: the images are smaller than 75x75.
    """
    row, column = (1, 7), (7, 1)
    named: list[tuple[str, nn.Module]] = [
        *stem(shape),
        (
            "mixed_5b",
            Branches(
                Unit(192, 96, 1),
                chain(192, (48, 1), (64, 5)),
                chain(192, (64, 1), (96, 3), (96, 3)),
                nn.Sequential(mean_pool(), Unit(192, 64, 1)),
            ),
        ),
    ]
    for place in range(1, 11):
        branches = Branches(
            Unit(320, 32, 1),
            chain(320, (32, 1), (32, 3)),
            chain(320, (32, 1), (48, 3), (64, 3)),
        )
        named.append((f"a_{place}", Scaled(branches, 128, 320, 0.17)))
    reduced = Branches(
        halving(320, (384, 3)), halving(320, (256, 1), (256, 3), (384, 3)), nn.MaxPool2d(3, 2)
    )
    named.append(("reduction_a", reduced))
    for place in range(1, 21):
        branches = Branches(Unit(1088, 192, 1), chain(1088, (128, 1), (160, row), (192, column)))
        named.append((f"b_{place}", Scaled(branches, 384, 1088, 0.10)))
    reduced = Branches(
        halving(1088, (256, 1), (384, 3)),
        halving(1088, (256, 1), (288, 3)),
        halving(1088, (256, 1), (288, 3), (320, 3)),
        nn.MaxPool2d(3, 2),
    )
    named.append(("reduction_b", reduced))
    for place in range(1, 11):
        branches = Branches(Unit(2080, 192, 1), chain(2080, (192, 1), (224, (1, 3)), (256, (3, 1))))
        # The released net's last block is neither scaled nor followed by a ReLU.
        last = place == 10
        made = Scaled(branches, 448, 2080, 1.0 if last else 0.20, active=not last)
        named.append((f"c_{place}", made))
    named += [
        ("conv6", Unit(2080, 1536, 1)),
        ("mean", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("drop", nn.Dropout(0.2)),  # "keep 0.8"
        ("fc", nn.Linear(1536, classes)),
    ]
    return nn.Sequential(OrderedDict(named)).apply(initialise)


class Scaled(nn.Module):
    """ReLU(x + scale F(x)) (section 3.3, scales 0.1 to 0.3): F's last 1x1 has a bias, no norm."""

    def __init__(
        self, branches: nn.Module, joined: int, channels: int, scale: float, *, active: bool = True
    ) -> None:
        super().__init__()
        self.branches = branches
        self.up = nn.Conv2d(joined, channels, 1)
        self.scale = scale
        self.relu = nn.ReLU() if active else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.relu(maps + self.scale * self.up(self.branches(maps)))
        return out
