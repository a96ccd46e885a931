"""ResNet 18 to 152: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015,
table 1.

    conv 64 7x7/2 → max-pool 3/2 → four stages of blocks → mean over the image → dense

The stride of a stage is in its first block: in the first 3x3 of two, or the first 1x1 of a
bottleneck, as in the paper (later code often has it in the 3x3, which costs 0.2 G multiply-adds
more in ResNet-50).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from dsets.errors import TrainError
from dsets.models.residual import PaddedShortcut, conv, initialise

#: Table 1's "FLOPs", which are multiply-adds, by depth.
WHOLE = {
    depth: f"{billions} x 10^9 multiply-adds"
    for depth, billions in ((18, 1.8), (34, 3.6), (50, 3.8), (101, 7.6), (152, 11.3))
}
#: Table 1's output sizes.
PAPER = {"conv1": "112x112", "pool1": "56x56"}
PAPER |= {f"conv2_{block}": "56x56" for block in range(1, 4)}
PAPER |= {f"conv3_{block}": "28x28" for block in range(1, 9)}
PAPER |= {f"conv4_{block}": "14x14" for block in range(1, 37)}
PAPER |= {f"conv5_{block}": "7x7" for block in range(1, 4)}

#: Depth → blocks a stage.
STAGES = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def resnet(
    shape: tuple[int, int, int], classes: int, *, depth: int, option: str = "B"
) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    ``option`` is the paper's for shortcuts where the number of channels grows: "A" pads zeros,
    "B" projects. (The text gives 50 and deeper option B only; A is built in the same way.)

    Raises:
        TrainError: the images are smaller than 32x32.
    """
    height, width, channels = shape
    if min(height, width) < 32:
        raise TrainError(
            "images are too small for ResNet", expected="at least 32x32", got=f"{height}x{width}"
        )
    named: list[tuple[str, nn.Module]] = [
        ("conv1", conv(channels, 64, 7, 2)),
        ("bn1", nn.BatchNorm2d(64)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(3, 2, padding=1)),
    ]
    block, inputs = (Basic, 64) if depth < 50 else (Bottleneck, 64)
    for stage, blocks in enumerate(STAGES[depth]):
        width_of = 64 * 2**stage
        for place in range(blocks):
            stride = 2 if stage and not place else 1
            made = block(inputs, width_of, stride, option)
            named.append((f"conv{stage + 2}_{place + 1}", made))
            inputs = made.outputs
    named += [
        ("mean", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("fc", nn.Linear(inputs, classes)),
    ]
    return nn.Sequential(OrderedDict(named)).apply(initialise)


class Residual(nn.Module):
    """ReLU(F(x) + shortcut(x)); each kind says what F is."""

    def __init__(self, inputs: int, outputs: int, stride: int, option: str) -> None:
        super().__init__()
        self.outputs = outputs
        self.shortcut: nn.Module
        if inputs == outputs and stride == 1:
            self.shortcut = nn.Identity()
        elif option == "A":
            self.shortcut = PaddedShortcut(inputs, outputs, stride)
        else:
            projection = conv(inputs, outputs, 1, stride)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))
        self.branch = nn.Sequential()
        self.relu = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.relu(self.branch(maps) + self.shortcut(maps))
        return out


class Basic(Residual):
    """Figure 5, left: two 3x3 convolutions."""

    def __init__(self, inputs: int, width: int, stride: int, option: str) -> None:
        super().__init__(inputs, width, stride, option)
        self.branch = nn.Sequential(
            conv(inputs, width, 3, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            conv(width, width, 3),
            nn.BatchNorm2d(width),
        )


class Bottleneck(Residual):
    """Figure 5, right: 1x1 down, 3x3, 1x1 up to four times the width."""

    def __init__(self, inputs: int, width: int, stride: int, option: str) -> None:
        super().__init__(inputs, 4 * width, stride, option)
        self.branch = nn.Sequential(
            conv(inputs, width, 1, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            conv(width, width, 3),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            conv(width, 4 * width, 1),
            nn.BatchNorm2d(4 * width),
        )
