"""LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
recognition", 1998, section II.B.

    C1 6@28x28 → S2 6@14x14 → C3 16@10x10 → S4 16@5x5 → C5 120 → F6 84 → RBF 10

60,000 trainable parameters: C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164; the paper says
"60,000" too. The output compares F6 with a fixed 7x12 bitmap of each class.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsets.errors import TrainError

#: The paper's figures: trainable parameters and connections (section II.B), and of the whole net.
WHOLE = {None: "60,000 trainable parameters"}
PAPER = {
    "C1": "6@28x28, 156 parameters, 122,304 connections",
    "S2": "6@14x14, 12 parameters, 5,880 connections",
    "C3": "16@10x10, 1,516 parameters, 151,600 connections",
    "S4": "16@5x5, 32 parameters, 2,000 connections",
    "C5": "120, 48,120 connections",
    "F6": "84, 10,164 parameters",
    "output": "10 Euclidean RBF units with 84 inputs",
}

#: Table I: which maps of S2 each map of C3 is connected to.
TABLE = [
    *[[(first + i) % 6 for i in range(3)] for first in range(6)],
    *[[(first + i) % 6 for i in range(4)] for first in range(6)],
    *[[first, first + 1, (first + 3) % 6, (first + 4) % 6] for first in range(3)],
    list(range(6)),
]

# The paper shows its bitmaps in a figure (3) of printed characters; these are drawn after it, so a
# pixel here or there may differ.
_DIGITS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...#...  .#####.  .#####.  .....#.  #######  ..####.  #######  .#####.  .#####.
.#...#.  ..##...  #.....#  #.....#  ....##.  #......  .#.....  ......#  #.....#  #.....#
#.....#  .#.#...  ......#  ......#  ...#.#.  #......  #......  .....#.  #.....#  #.....#
#.....#  ...#...  ......#  ......#  ..#..#.  #......  #......  .....#.  #.....#  #.....#
#.....#  ...#...  .....#.  ..####.  .#...#.  ######.  ######.  ....#..  .#####.  .######
#.....#  ...#...  ....#..  ......#  #....#.  ......#  #.....#  ....#..  #.....#  ......#
#.....#  ...#...  ...#...  ......#  #######  ......#  #.....#  ...#...  #.....#  ......#
#.....#  ...#...  ..#....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
.#...#.  ...#...  .#.....  #.....#  .....#.  #.....#  #.....#  ..#....  #.....#  .....#.
..###..  .#####.  #######  .#####.  .....#.  .#####.  .#####.  ..#....  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


def codes() -> list[list[float]]:
    """Ten bitmaps 12 high and 7 wide, row by row: +1 where there is ink, -1 elsewhere."""
    lines = [line.split() for line in _DIGITS.split("\n") if line]
    digits = ("".join(line[digit] for line in lines) for digit in range(10))
    return [[1.0 if pixel == "#" else -1.0 for pixel in digit] for digit in digits]


def lenet5(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, 28, 28) or (n, C, 32, 32).

    ``shape`` is (H, W, C). The logits are the negative outputs of the paper, whose smallest wins;
    cross-entropy of them is its equation 9 without the constant "rubbish" class.

    Raises:
        TrainError: the images are of another size, or there are more classes than bitmaps.
    """
    height, width, channels = shape
    if (height, width) not in ((28, 28), (32, 32)):
        expected = "28x28 or 32x32"
        raise TrainError(
            "images of a size that lenet5 is not for", expected=expected, got=f"{height}x{width}"
        )
    if not 1 <= classes <= 10:
        raise TrainError("lenet5 has bitmaps of ten classes", expected="1 to 10", got=classes)
    named: list[tuple[str, nn.Module]] = [
        # Paper: 28x28 characters in a field of 32x32. The margin goes on with the edge's value,
        # since the background of normalised images isn't 0.
        ("margin", nn.ReplicationPad2d((32 - height) // 2)),
        ("C1", nn.Conv2d(channels, 6, 5)),
        ("C1_squash", Squash()),
        ("S2", SubSampling(6)),
        ("S2_squash", Squash()),
        ("C3", TabledConvolution()),
        ("C3_squash", Squash()),
        ("S4", SubSampling(16)),
        ("S4_squash", Squash()),
        ("C5", nn.Conv2d(16, 120, 5)),
        ("C5_squash", Squash()),
        ("flatten", nn.Flatten()),
        ("F6", nn.Linear(120, 84)),
        ("F6_squash", Squash()),
        ("output", RadialBasis(classes)),
    ]
    return nn.Sequential(OrderedDict(named)).apply(_initialise)


class Squash(nn.Module):
    """f(a) = A tanh(S a) with A = 1.7159 and S = 2/3 (equation 6, appendix A): f(±1) = ±1."""

    def forward(self, values: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(values * (2 / 3))


class SubSampling(nn.Module):
    """The sum of each 2x2 square, times a trainable coefficient, plus a trainable bias, a map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(maps))
        self.bias = nn.Parameter(torch.empty(maps))
        self.products = maps

    def forward(self, maps: Tensor) -> Tensor:
        sums = 4 * functional.avg_pool2d(maps, 2)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


class TabledConvolution(nn.Module):
    """C3: a 5x5 convolution that has kernels only where Table I has a connection, 60 in all."""

    targets: Tensor
    sources: Tensor

    def __init__(self) -> None:
        super().__init__()
        pairs = [(to, of) for to, maps in enumerate(TABLE) for of in maps]
        self.weight = nn.Parameter(torch.empty(len(pairs), 5, 5))
        self.bias = nn.Parameter(torch.empty(len(TABLE)))
        self.register_buffer("targets", torch.tensor([to for to, _ in pairs]), persistent=False)
        self.register_buffer("sources", torch.tensor([of for _, of in pairs]), persistent=False)
        self.products = self.weight.numel()

    def forward(self, maps: Tensor) -> Tensor:
        kernels = self.weight.new_zeros(len(TABLE), 6, 5, 5)
        kernels = kernels.index_put((self.targets, self.sources), self.weight)
        return functional.conv2d(maps, kernels, self.bias)


class RadialBasis(nn.Module):
    """Minus the squared distance of F6 to the fixed code of each class (equation 7)."""

    codes: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.tensor(codes()[:classes]), persistent=False)
        self.products = classes * 84

    def forward(self, units: Tensor) -> Tensor:
        return -(units[:, None, :] - self.codes).square().sum(2)


def _initialise(layer: nn.Module) -> None:
    """Uniform in ±2.4 / inputs of a unit (appendix A). Biases too: they are inputs of value 1."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        inputs = [layer.weight[0].numel()] * 2
    elif isinstance(layer, SubSampling):
        inputs = [4, 4]
    elif isinstance(layer, TabledConvolution):
        inputs = [25 * len(TABLE[-1])] * 2  # appendix A means each unit's own; its largest is this
    else:
        return
    for weights, count in zip((layer.weight, layer.bias), inputs, strict=True):
        limit = 2.4 / count
        nn.init.uniform_(weights, -limit, limit)  # type: ignore[arg-type]
