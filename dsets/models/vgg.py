"""VGG A to E: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image
recognition", 2014, table 1.

Five stages of 3x3 convolutions (some 1x1 in C), each with a ReLU and each stage with a max-pool 2
at its end, then dense 4096, 4096, classes. The table's letters name the nets; D and E are the ones
known as VGG-16 and VGG-19.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from dsets.errors import TrainError
from dsets.models.response_norm import LocalResponseNorm

#: Table 2, by configuration.
WHOLE = {
    letter: f"{millions} million parameters"
    for letter, millions in (
        ("a", 133), ("a_lrn", 133), ("b", 133), ("c", 134), ("d", 138), ("e", 144)
    )
}  # fmt: skip

#: Table 1, stage by stage: the sides of the convolutions' kernels.
STAGES = {
    "a": ([3], [3], [3, 3], [3, 3], [3, 3]),
    "a_lrn": ([3], [3], [3, 3], [3, 3], [3, 3]),
    "b": ([3, 3], [3, 3], [3, 3], [3, 3], [3, 3]),
    "c": ([3, 3], [3, 3], [3, 3, 1], [3, 3, 1], [3, 3, 1]),
    "d": ([3, 3], [3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]),
    "e": ([3, 3], [3, 3], [3, 3, 3, 3], [3, 3, 3, 3], [3, 3, 3, 3]),
}
CHANNELS = (64, 128, 256, 512, 512)


def _rows(letter: str) -> dict[str, str]:
    """The layer table's rows in table 1's words."""
    rows = {"norm1": "LRN"} if letter == "a_lrn" else {}
    for stage, (sides, wide) in enumerate(zip(STAGES[letter], CHANNELS, strict=True), 1):
        rows |= {
            f"conv{stage}_{place}": f"conv{side}-{wide}" for place, side in enumerate(sides, 1)
        }
        rows[f"pool{stage}"] = "maxpool"
    return rows | {"fc6": "FC-4096", "fc7": "FC-4096", "fc8": "FC-1000"}


PAPER_BY = {letter: _rows(letter) for letter in STAGES}


def vgg(shape: tuple[int, int, int], classes: int, *, letter: str) -> nn.Module:
    """Logits float32 (n, classes) from images float32 (n, C, H, W), where ``shape`` is (H, W, C).

    ``letter`` is the column of table 1: "a", "a_lrn", "b", "c", "d" or "e".

    Raises:
        TrainError: the images are smaller than 32x32.
    """
    height, width, channels = shape
    if min(height, width) < 32:
        raise TrainError(
            "images are too small for VGG", expected="at least 32x32", got=f"{height}x{width}"
        )
    named: list[tuple[str, nn.Module]] = []
    for stage, (sides, wide) in enumerate(zip(STAGES[letter], CHANNELS, strict=True), 1):
        for place, side in enumerate(sides, 1):
            convolution = nn.Conv2d(channels, wide, side, padding=side // 2)
            named += [(f"conv{stage}_{place}", convolution), (f"relu{stage}_{place}", nn.ReLU())]
            channels = wide
        if letter == "a_lrn" and stage == 1:
            # "Parameters as in" the AlexNet paper (section 2.1); torch divides alpha by 5.
            named += [("norm1", LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2))]
        named += [(f"pool{stage}", nn.MaxPool2d(2))]
    named += [
        ("flatten", nn.Flatten()),
        ("fc6", nn.Linear(512 * (height // 32) * (width // 32), 4096)),
        ("relu6", nn.ReLU()),
        ("drop6", nn.Dropout(0.5)),
        ("fc7", nn.Linear(4096, 4096)),
        ("relu7", nn.ReLU()),
        ("drop7", nn.Dropout(0.5)),
        ("fc8", nn.Linear(4096, classes)),
    ]
    return nn.Sequential(OrderedDict(named)).apply(_initialise)


def _initialise(layer: nn.Module) -> None:
    # Paper: weights of a trained A, or, as section 3.1 notes it found later, Glorot and Bengio's
    # draw without any; that is ours. A itself had N(0, 0.01²). Biases 0.
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
