"""A small net of ours for CIFAR-10, made for processors: most of its work is done at 16x16.

    conv 32 3x3/2 → conv 64 3x3 → conv 64 3x3, added to what it is given → max-pool 2/2
                  → conv 128 3x3 → max-pool 2/2 → conv 128 3x3 → the greatest of each map → dense

After each convolution come batch norm (Ioffe & Szegedy 2015) and ReLU; the convolutions have no
bias. On 32x32x3 and ten classes it has 279,466 parameters and 21.5 million multiply-adds. What it
takes from the fast CIFAR nets is the shape: few wide layers, one shortcut, a greatest instead of a
mean at the end; there is no whitening, no smoothing, no averaging of weights.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from dsets.errors import TrainError
from dsets.models.residual import conv, initialise

WHOLE = {None: "no paper: the net is ours"}


def cifar_small(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    Raises:
        TrainError: the images are smaller than 8x8.
    """
    height, width, channels = shape
    if min(height, width) < 8:
        raise TrainError(
            "images are too small for cifar_small", expected="at least 8x8", got=f"{height}x{width}"
        )
    named: list[tuple[str, nn.Module]] = [
        ("conv1", unit(channels, 32, stride=2)),
        ("conv2", unit(32, 64)),
        ("conv3", Added(unit(64, 64))),
        ("pool3", nn.MaxPool2d(2)),
        ("conv4", unit(64, 128)),
        ("pool4", nn.MaxPool2d(2)),
        ("conv5", unit(128, 128)),
        ("greatest", nn.AdaptiveMaxPool2d(1)),
        ("flatten", nn.Flatten()),
        ("fc", nn.Linear(128, classes)),
    ]
    return nn.Sequential(OrderedDict(named)).apply(initialise)


class Added(nn.Module):
    """x + F(x)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = maps + self.branch(maps)
        return out


def unit(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU())
