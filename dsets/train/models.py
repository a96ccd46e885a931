"""The reference models by name: what builds each, and how it is trained by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from dsets.errors import UsageError
from dsets.train.cifar_quick import cifar_quick
from dsets.train.lenet import lenet
from dsets.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Model:
    """``build(shape, classes)`` makes it, untrained, for images of shape (H, W, C).

    What it makes maps images float32 (n, C, H, W) to logits float32 (n, classes). ``shape`` is the
    usual one.
    """

    build: Callable[[tuple[int, int, int], int], nn.Module]
    shape: tuple[int, int, int]
    recipe: Recipe
    title: str


MODELS = {
    "lenet": Model(
        lenet,
        (28, 28, 1),
        Recipe(epochs=5, batch_size=64, rate=0.04, weight_decay=5e-4),
        "Caffe's LeNet, for MNIST",
    ),
    "cifar_quick": Model(
        cifar_quick,
        (32, 32, 3),
        Recipe(
            epochs=12,
            batch_size=128,
            rate=0.05,
            weight_decay=1e-3,
            crop_padding=4,
            flip=True,
        ),
        "cuda-convnet's and Caffe's quick net, for CIFAR-10",
    ),
}


def find(name: str) -> Model:
    """The model called ``name``.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in MODELS:
        raise UsageError("no such model", expected=f"one of {', '.join(MODELS)}", got=repr(name))
    return MODELS[name]


def parameters(net: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(weights.numel() for weights in net.parameters() if weights.requires_grad)
