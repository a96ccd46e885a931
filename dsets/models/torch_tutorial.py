"""The net of torch's CIFAR-10 tutorial: LeNet's plan with ReLU and max-pooling.

    conv 6 5x5 → ReLU → max-pool 2 → conv 16 5x5 → ReLU → max-pool 2 → 120 → 84 → classes

On 32x32x3 and ten classes it has 62,006 parameters: 456 + 2,416 + 48,120 + 10,164 + 850. Weights
are torch's own: uniform in ±1 / sqrt(inputs).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from dsets.errors import TrainError

#: The sizes of the tutorial's code.
WHOLE = {None: "parameters: not stated"}
PAPER = {
    "conv1": "6 kernels 5x5",
    "pool1": "2x2, stride 2",
    "conv2": "16 kernels 5x5",
    "pool2": "2x2, stride 2",
    "fc1": "120 units",
    "fc2": "84 units",
    "fc3": "10 units",
}


def torch_tutorial(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Log-probabilities float32 (n, classes) from images float32 (n, C, H, W); shape (H, W, C).

    Cross-entropy takes them for logits without any difference: their softmax is themselves.

    Raises:
        TrainError: the images are smaller than 16x16.
    """
    height, width, channels = shape
    if min(height, width) < 16:
        raise TrainError(
            "images are too small for torch_tutorial",
            expected="at least 16x16",
            got=f"{height}x{width}",
        )
    rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
    named: list[tuple[str, nn.Module]] = [
        ("conv1", nn.Conv2d(channels, 6, 5)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(2)),
        ("conv2", nn.Conv2d(6, 16, 5)),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(2)),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(16 * rows * columns, 120)),
        ("relu3", nn.ReLU()),
        ("fc2", nn.Linear(120, 84)),
        ("relu4", nn.ReLU()),
        ("fc3", nn.Linear(84, classes)),
        ("log_softmax", nn.LogSoftmax(dim=1)),
    ]
    return nn.Sequential(OrderedDict(named))
