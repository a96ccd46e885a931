"""Caffe's LeNet: the net of its MNIST tutorial (BVLC, examples/mnist/lenet_train_test.prototxt).

    conv 20 5x5 → max-pool 2 → conv 50 5x5 → max-pool 2 → dense 500 → ReLU → dense

It is not LeCun's LeNet-5 of 1998: max instead of trainable pooling, full connections, one ReLU.
On 28x28x1 and ten classes it has exactly 431,080 parameters: 520 + 25,050 + 400,500 + 5,010.
"""

from __future__ import annotations

from math import sqrt

from torch import nn

from dsets.errors import TrainError

#: The sizes of Caffe's file, and what the log in Caffe's tutorial ends with.
WHOLE = {None: "parameters: not stated; 98.97 % test accuracy"}
PAPER = {
    "0": "20 kernels 5x5",
    "1": "2x2, stride 2",
    "2": "50 kernels 5x5",
    "3": "2x2, stride 2",
    "5": "500 units",
    "7": "10 units",
}


def lenet(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    Raises:
        TrainError: the images are smaller than 16x16, and nothing would be left to classify.
    """
    height, width, channels = shape
    if min(height, width) < 16:
        raise TrainError(
            "images are too small for lenet", expected="at least 16x16", got=f"{height}x{width}"
        )
    rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
    net = nn.Sequential(
        nn.Conv2d(channels, 20, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(50 * rows * columns, 500),
        nn.ReLU(),
        nn.Linear(500, classes),
    )
    return net.apply(xavier)


def xavier(layer: nn.Module) -> None:
    """Caffe's "xavier" filler: weights uniform in ±sqrt(3 / inputs of one unit), biases 0.

    Unlike Glorot and Bengio's, it looks at the inputs only (Caffe's default, FAN_IN).
    """
    if isinstance(layer, nn.Conv2d | nn.Linear):
        limit = sqrt(3 / layer.weight[0].numel())
        nn.init.uniform_(layer.weight, -limit, limit)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
