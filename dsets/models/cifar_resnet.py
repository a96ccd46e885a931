"""The CIFAR-10 ResNets of 6n + 2 layers: He et al. 2015, section 4.2.

    conv 16 3x3 → n blocks of 16 at 32x32 → n of 32 at 16x16 → n of 64 at 8x8 → mean → dense

All shortcuts are option A, so a net has exactly as many parameters as the same without them. With
n = 3, 9, 18: 269,722, 853,018, 1,727,962; the paper says 0.27 M, 0.85 M, 1.7 M.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from dsets.errors import TrainError, UsageError
from dsets.models.residual import conv, initialise
from dsets.models.resnet import Basic

#: Table 6, by depth.
WHOLE = {
    depth: f"{millions} million parameters"
    for depth, millions in ((20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7))
}
#: Section 4.2's table: output sizes and filters.
PAPER = {"conv1": "32x32, 16 filters", "fc": "10 units"}
PAPER |= {
    f"conv{stage}_{block}": f"{side}x{side}, {filters} filters"
    for stage, side, filters in ((2, 32, 16), (3, 16, 32), (4, 8, 64))
    for block in range(1, 19)
}


def cifar_resnet(shape: tuple[int, int, int], classes: int, *, depth: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    Raises:
        UsageError: ``depth`` is not 6n + 2.
        TrainError: the images are smaller than 8x8.
    """
    height, width, channels = shape
    if depth < 8 or depth % 6 != 2:
        raise UsageError("no such CIFAR ResNet", expected="6n + 2 layers", got=depth)
    if min(height, width) < 8:
        raise TrainError(
            "images are too small for a CIFAR ResNet",
            expected="at least 8x8",
            got=f"{height}x{width}",
        )
    named: list[tuple[str, nn.Module]] = [
        ("conv1", conv(channels, 16, 3)),
        ("bn1", nn.BatchNorm2d(16)),
        ("relu1", nn.ReLU()),
    ]
    inputs = 16
    for stage, wide in enumerate((16, 32, 64)):
        for place in range(depth // 6):
            stride = 2 if stage and not place else 1
            named.append((f"conv{stage + 2}_{place + 1}", Basic(inputs, wide, stride, "A")))
            inputs = wide
    named += [
        ("mean", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("fc", nn.Linear(64, classes)),
    ]
    return nn.Sequential(OrderedDict(named)).apply(initialise)
