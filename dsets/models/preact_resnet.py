"""Pre-activation ResNets: He, Zhang, Ren, Sun, "Identity mappings in deep residual networks", 2016.

Batch norm and ReLU come before each convolution, so that nothing stands on the path of the
shortcuts (figure 4e). Where the number of channels grows, the shortcut projects, and it takes the
activated input: of the first block of all, and of each stage's, both branches do (appendix).

164 and 1001 layers for CIFAR (9n + 2, bottlenecks of 16, 32, 64): 1,703,258 and 10,327,706
parameters, as independent implementations count them too (pytorchcv among them); the paper says
1.7 M and 10.2 M. It doesn't say so, but that fits the count without batch norm, whose scales and
shifts are 24,224 and 149,216: 1,679,034 and 10,178,490 are left. 5.46 and 4.92 % error on
CIFAR-10. 200 layers for ImageNet (3, 24, 36, 3 bottlenecks): 64,666,152, known as 64.7 M, batch
norm included.

The stride of a stage is in its first 1x1, as in the first paper; timm, pytorchcv and others have it
in the 3x3.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from dsets.errors import TrainError, UsageError
from dsets.models.residual import conv, initialise

#: By depth; the ImageNet net has no choice of it.
WHOLE = {
    164: "1.7 million parameters",
    1001: "10.2 million parameters (without batch norm's: 10,178,490)",
    None: "64.7 million parameters",
}


def preact_cifar(shape: tuple[int, int, int], classes: int, *, depth: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    Raises:
        UsageError: ``depth`` is not 9n + 2.
        TrainError: the images are smaller than 8x8.
    """
    if depth < 11 or depth % 9 != 2:
        raise UsageError("no such pre-activation ResNet", expected="9n + 2 layers", got=depth)
    stem = [("conv1", conv(_checked(shape, 8), 16, 3))]
    return _net([*stem], 16, (16, 32, 64), (depth // 9,) * 3, classes)


def preact_resnet200(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    Raises:
        TrainError: the images are smaller than 32x32.
    """
    # The first activation is the stem's own: the first block then has what it would activate.
    stem: list[tuple[str, nn.Module]] = [
        ("conv1", conv(_checked(shape, 32), 64, 7, 2)),
        ("bn1", nn.BatchNorm2d(64)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(3, 2, padding=1)),
    ]
    return _net(stem, 64, (64, 128, 256, 512), (3, 24, 36, 3), classes)


class Block(nn.Module):
    """x + F(x), F a bottleneck of batch norm, ReLU, convolution, three times."""

    def __init__(self, inputs: int, width: int, stride: int, *, activated: bool) -> None:
        super().__init__()
        outputs = 4 * width
        grows = inputs != outputs or stride != 1
        self.before: nn.Module = (
            nn.Identity() if activated else nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        )
        self.shortcut = conv(inputs, outputs, 1, stride) if grows else None
        self.branch = nn.Sequential(
            conv(inputs, width, 1, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            conv(width, width, 3),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            conv(width, outputs, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        active = self.before(maps)
        kept = maps if self.shortcut is None else self.shortcut(active)
        out: Tensor = kept + self.branch(active)
        return out


def _net(
    stem: list[tuple[str, nn.Module]],
    inputs: int,
    widths: tuple[int, ...],
    blocks: tuple[int, ...],
    classes: int,
) -> nn.Module:
    named = [*stem]
    activated = any(isinstance(layer, nn.ReLU) for _, layer in stem)
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for place in range(count):
            stride = 2 if stage and not place else 1
            block = Block(inputs, width, stride, activated=activated)
            named.append((f"conv{stage + 2}_{place + 1}", block))
            inputs, activated = 4 * width, False
    named += [
        ("bn_last", nn.BatchNorm2d(inputs)),
        ("relu_last", nn.ReLU()),
        ("mean", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("fc", nn.Linear(inputs, classes)),
    ]
    return nn.Sequential(OrderedDict(named)).apply(initialise)


def _checked(shape: tuple[int, int, int], least: int) -> int:
    height, width, channels = shape
    if min(height, width) < least:
        raise TrainError(
            "images are too small for this ResNet",
            expected=f"at least {least}x{least}",
            got=f"{height}x{width}",
        )
    return channels
