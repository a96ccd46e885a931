"""AlexNet: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
networks", 2012, sections 3 and 5.

    conv 96 11x11/4 → LRN → pool → conv 256 5x5 (2 groups) → LRN → pool → conv 384 3x3
      → conv 384 3x3 (2 groups) → conv 256 3x3 (2 groups) → pool → 4096 → 4096 → classes

with a ReLU after every layer but the last. The groups are the paper's two GPUs. 60,965,224
parameters; the paper says 60 million.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from dsets.errors import TrainError
from dsets.models.response_norm import LocalResponseNorm

#: The numbers of neurons of section 3.5's last paragraph; 253,440 does not fit (see below).
#: Of the whole net: the abstract.
WHOLE = {None: "60 million parameters"}
PAPER = {
    "conv1": "253,440 neurons (its kernels and stride give 55x55x96 = 290,400)",
    "conv2": "186,624 neurons",
    "conv3": "64,896 neurons",
    "conv4": "64,896 neurons",
    "conv5": "43,264 neurons",
    "fc6": "4,096 neurons",
    "fc7": "4,096 neurons",
    "fc8": "1,000 neurons",
}


def alexnet(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    Raises:
        TrainError: the images are smaller than 63x63.
    """
    height, width, channels = shape
    if min(height, width) < 63:
        raise TrainError(
            "images are too small for alexnet", expected="at least 63x63", got=f"{height}x{width}"
        )
    rows, columns = (_last_side(side) for side in (height, width))
    named: list[tuple[str, nn.Module]] = [
        # Paper: 224x224 inputs, no word of padding, 253,440 neurons. 11x11 at stride 4 gives 55x55
        # from 224 only when padded by 2 (3 would do on one side); 227x227 needs none.
        ("conv1", nn.Conv2d(channels, 96, 11, stride=4, padding=2)),
        ("relu1", nn.ReLU()),
        ("norm1", _norm()),
        ("pool1", nn.MaxPool2d(3, 2)),  # section 3.4: z = 3, s = 2, overlapping
        ("conv2", nn.Conv2d(96, 256, 5, padding=2, groups=2)),
        ("relu2", nn.ReLU()),
        ("norm2", _norm()),
        ("pool2", nn.MaxPool2d(3, 2)),
        ("conv3", nn.Conv2d(256, 384, 3, padding=1)),  # sees both GPUs' maps
        ("relu3", nn.ReLU()),
        ("conv4", nn.Conv2d(384, 384, 3, padding=1, groups=2)),
        ("relu4", nn.ReLU()),
        ("conv5", nn.Conv2d(384, 256, 3, padding=1, groups=2)),
        ("relu5", nn.ReLU()),
        ("pool5", nn.MaxPool2d(3, 2)),
        ("flatten", nn.Flatten()),
        # Paper: outputs times 0.5 at test time. torch's dropout doubles them in training instead.
        # Dropout stands on the outputs of the first two dense layers (section 4.2).
        ("fc6", nn.Linear(256 * rows * columns, 4096)),
        ("relu6", nn.ReLU()),
        ("drop6", nn.Dropout(0.5)),
        ("fc7", nn.Linear(4096, 4096)),
        ("relu7", nn.ReLU()),
        ("drop7", nn.Dropout(0.5)),
        ("fc8", nn.Linear(4096, classes)),
    ]
    net = nn.Sequential(OrderedDict(named))
    for name, layer in net.named_children():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            _initialise(name, layer)
    return net


def _norm() -> nn.Module:
    """Section 3.3: k = 2, n = 5, alpha = 1e-4, beta = 0.75, the sum not divided by n.

    torch divides alpha by n, so it is given five times as much.
    """
    return LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)


def _initialise(name: str, layer: nn.Conv2d | nn.Linear) -> None:
    """Section 5: N(0, 0.01²); biases 1 in conv 2, 4, 5 and the hidden dense layers, else 0."""
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, float(name in ("conv2", "conv4", "conv5", "fc6", "fc7")))


def _last_side(side: int) -> int:
    """The side of what conv 5's pool gives."""
    for size, stride, padding in ((11, 4, 2), (3, 2, 0), (3, 2, 0), (3, 2, 0)):
        side = (side + 2 * padding - size) // stride + 1
    return side
