"""The "quick" CIFAR-10 net of cuda-convnet, as Caffe retells it (examples/cifar10/cifar10_quick).

    conv 32 5x5 → max-pool 3/2 → ReLU → conv 32 5x5 → ReLU → mean-pool 3/2
                → conv 64 5x5 → ReLU → mean-pool 3/2 → dense 64 → dense

Convolutions are padded by 2; pools overlap (3 wide, stride 2) and, as in both originals, keep a
last partial window, so 32 → 16 → 8 → 4. There is no ReLU between the dense layers: Caffe's file has
none. On 32x32x3 and ten classes it has 145,578 parameters: 2,432 + 25,632 + 51,264 + 65,600 + 650.

Where we leave the originals: they draw weights from normals of deviation 0.0001, 0.01, 0.01, 0.1
and 0.1, subtract the mean image, and train for 8 epochs at one rate, then two at lower ones. We
draw from normals of deviation sqrt(2 / inputs) (He et al. 2015, equation 10), since 0.0001 wastes
the first epochs, and normalise by channel; the recipe in ``dsets.train.recipes`` is ours too.
"""

from __future__ import annotations

from math import sqrt

from torch import nn

from dsets.errors import TrainError

#: The sizes of both files; of the whole net, cuda-convnet's page about its "80 seconds" net.
WHOLE = {None: "parameters: not stated; 26 % test error in 80 seconds"}
PAPER = {
    "0": "32 kernels 5x5",
    "1": "3x3, stride 2",
    "3": "32 kernels 5x5",
    "5": "3x3, stride 2",
    "6": "64 kernels 5x5",
    "8": "3x3, stride 2",
    "10": "64 units",
    "11": "10 units",
}


def cifar_quick(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    Raises:
        TrainError: the images are smaller than 8x8.
    """
    height, width, channels = shape
    if min(height, width) < 8:
        raise TrainError(
            "images are too small for cifar_quick", expected="at least 8x8", got=f"{height}x{width}"
        )
    rows, columns = (_halved(_halved(_halved(side))) for side in (height, width))
    net = nn.Sequential(
        nn.Conv2d(channels, 32, 5, padding=2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.ReLU(),
        nn.Conv2d(32, 32, 5, padding=2),
        nn.ReLU(),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Flatten(),
        nn.Linear(64 * rows * columns, 64),
        nn.Linear(64, classes),
    )
    return net.apply(_initialise)


def _halved(side: int) -> int:
    """The side after a pool 3 wide with stride 2 that keeps a last partial window."""
    return (side - 2) // 2 + 1


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.normal_(layer.weight, std=sqrt(2 / layer.weight[0].numel()))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
