"""The four-layer CIFAR-10 nets of Krizhevsky, Sutskever, Hinton 2012: figure 1 and section 3.3.

The paper calls both a four-layer net. Of figure 1's it says no more, and we assume one of the
author's cuda-convnet, whose example layer files have four layers with weights, counting the
classifier. Of section 3.3's its footnote says that cuda-convnet's files specify it; those with the
errors that it quotes have four layers with weights before the classifier.

Figure 1 (layers-19pct.cfg; the paper's net may have been another):

    conv 32 5x5 → max-pool 3/2 → f → conv 32 5x5 → f → mean-pool 3/2
                → conv 64 5x5 → f → mean-pool 3/2 → dense

where f is ReLU or tanh. Section 3.3 (layers-conv-local-13pct.cfg and -11pct.cfg):

    conv 64 5x5 → ReLU [→ LRN] → max-pool 3/2 → conv 64 5x5 → ReLU [→ LRN] → max-pool 3/2
                → local 32 3x3 → ReLU → local 32 3x3 → ReLU → dense

A local layer is a convolution whose every position has kernels of its own. Weights are drawn from
normals of the files' deviations, 0.0001 in the first layer among them; biases are 0.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsets.errors import TrainError
from dsets.models.response_norm import LocalResponseNorm

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}

#: By the option that tells the nets apart: figure 1's caption, and section 3.3 with its footnote.
WHOLE = {
    "relu": "four layers, sizes not stated; 25 % training error in a sixth of tanh's epochs",
    "tanh": "four layers, sizes not stated; 25 % training error in six times ReLU's epochs",
    False: "four layers, sizes in cuda-convnet; 13 % test error",
    True: "four layers, sizes in cuda-convnet; 11 % test error",
}

#: The sizes of cuda-convnet's files.
_POOL = "3x3, stride 2"
_FIGURE1 = {
    "conv1": "32 kernels 5x5",
    "pool1": _POOL,
    "conv2": "32 kernels 5x5",
    "pool2": _POOL,
    "conv3": "64 kernels 5x5",
    "pool3": _POOL,
    "fc10": "10 units",
}
_SECTION33 = {
    "conv1": "64 kernels 5x5",
    "pool1": _POOL,
    "conv2": "64 kernels 5x5",
    "pool2": _POOL,
    "local3": "32 kernels 3x3",
    "local4": "32 kernels 3x3",
    "fc10": "10 units",
}
_NORM = "5 maps, scale 0.001, power 0.75"
PAPER_BY = {
    "relu": _FIGURE1,
    "tanh": _FIGURE1,
    False: _SECTION33,
    True: _SECTION33 | {"norm1": _NORM, "norm2": _NORM},
}


def figure1(shape: tuple[int, int, int], classes: int, *, activation: str) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    ``activation`` is "relu" or "tanh"; all else is the same in both.

    Raises:
        TrainError: the images are smaller than 8x8.
    """
    height, width, channels = _checked(shape)
    active = _ACTIVATIONS[activation]
    rows, columns = (_pooled(_pooled(_pooled(side))) for side in (height, width))
    named: list[tuple[str, nn.Module]] = [
        ("conv1", _conv(channels, 32, 0.0001)),
        ("pool1", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("active1", active()),
        ("conv2", _conv(32, 32, 0.01)),
        ("active2", active()),
        ("pool2", nn.AvgPool2d(3, 2, ceil_mode=True)),
        ("conv3", _conv(32, 64, 0.01)),
        ("active3", active()),
        ("pool3", nn.AvgPool2d(3, 2, ceil_mode=True)),
        ("flatten", nn.Flatten()),
        ("fc10", _drawn(nn.Linear(64 * rows * columns, classes), 0.01)),
    ]
    return nn.Sequential(OrderedDict(named))


def section33(shape: tuple[int, int, int], classes: int, *, normalised: bool) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    ``normalised`` puts local response normalisation after both convolutions.

    Raises:
        TrainError: the images are smaller than 8x8.
    """
    height, width, channels = _checked(shape)
    rows, columns = (_pooled(_pooled(side)) for side in (height, width))
    named: list[tuple[str, nn.Module]] = [
        ("conv1", _conv(channels, 64, 0.0001)),
        ("relu1", nn.ReLU()),
        ("norm1", _norm(normalised)),
        ("pool1", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("conv2", _conv(64, 64, 0.01)),
        ("relu2", nn.ReLU()),
        ("norm2", _norm(normalised)),
        ("pool2", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("local3", _drawn(Local(64, 32, rows, columns), 0.04)),
        ("relu3", nn.ReLU()),
        ("local4", _drawn(Local(32, 32, rows, columns), 0.04)),
        ("relu4", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("fc10", _drawn(nn.Linear(32 * rows * columns, classes), 0.01)),
    ]
    return nn.Sequential(OrderedDict((n, m) for n, m in named if not isinstance(m, nn.Identity)))


class Local(nn.Module):
    """A 3x3 "convolution", padded by 1, that shares nothing: each position has its own kernels."""

    def __init__(self, inputs: int, outputs: int, rows: int, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs * 9, rows * columns))
        self.bias = nn.Parameter(torch.empty(outputs, rows, columns))
        self.products = outputs * inputs * 9

    def forward(self, maps: Tensor) -> Tensor:
        # Positions first, so that each is one matrix product of all images; the nine shifts one
        # by one take 0.4 of the time of an unfold and its gradient.
        outputs, rows, columns = self.bias.shape
        inputs = maps.shape[1]
        padded = functional.pad(maps.permute(2, 3, 0, 1), (0, 0, 0, 0, 1, 1, 1, 1))
        kernels = self.weight.view(outputs, inputs, 9, -1).permute(2, 3, 1, 0)
        sums = self.bias.reshape(outputs, -1).t()[:, None]
        for shift, kernel in enumerate(kernels):
            down, right = divmod(shift, 3)
            square = padded[down : down + rows, right : right + columns]
            sums = sums + square.reshape(rows * columns, -1, inputs) @ kernel
        return sums.view(rows, columns, -1, outputs).permute(2, 3, 0, 1)


def _norm(normalised: bool) -> nn.Module:
    # cuda-convnet divides its scale 0.001 by the size 5, as torch does with alpha; its k is 1.
    return LocalResponseNorm(5, alpha=0.001, beta=0.75, k=1) if normalised else nn.Identity()


def _checked(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    height, width, _ = shape
    if min(height, width) < 8:
        raise TrainError(
            "images are too small for a four-layer net",
            expected="at least 8x8",
            got=f"{height}x{width}",
        )
    return shape


def _pooled(side: int) -> int:
    """The side after a pool 3 wide with stride 2 that keeps a last partial window."""
    return (side - 2) // 2 + 1


def _conv(inputs: int, outputs: int, deviation: float) -> nn.Module:
    return _drawn(nn.Conv2d(inputs, outputs, 5, padding=2), deviation)


def _drawn(layer: nn.Conv2d | nn.Linear | Local, deviation: float) -> nn.Module:
    nn.init.normal_(layer.weight, std=deviation)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
