"""A net's layers, counted by running it on torch's meta device: shapes without numbers.

A multiply-add is one product that is added to a sum; the papers since ResNet's call it a FLOP.
As in the papers, only layers with weights have them: convolutions, dense layers and the like;
batch normalisation, pooling, activations and biases count nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dsets.models.catalogue import Model, Shape

#: Batch normalisation refuses to train on one image of one pixel, so two go through.
BATCH = 2


@dataclass(frozen=True, slots=True)
class Layer:
    """One row of a net's table, for one image.

    ``shape`` is (C, H, W) or (units,); ``multiply_adds`` of one image.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def sketch(model: Model) -> nn.Module:
    """The model in its source's size, on the meta device: no memory, no numbers."""
    with torch.device("meta"):
        return model.build(model.shape, model.classes)


def parameters(net: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(weights.numel() for weights in net.parameters() if weights.requires_grad)


def layers(net: nn.Module, shape: Shape, *, deep: bool = False) -> list[Layer]:
    """The rows of a net on the meta device (``sketch``) for images of ``shape`` (H, W, C).

    A row is a child of the net; with ``deep`` every layer inside a child has its own. Auxiliary
    heads, which only run in training, have rows too.
    """
    named = dict(net.named_modules())
    leaves = {name: module for name, module in named.items() if not list(module.children())}
    rows = leaves if deep else dict(net.named_children())
    shapes: dict[str, tuple[int, ...]] = {}
    sums = dict.fromkeys(leaves, 0)

    def watch(name: str, module: nn.Module) -> Any:
        def seen(_: nn.Module, taken: Any, output: Tensor) -> None:
            if name in rows:
                shapes[name] = tuple(output.shape[1:])
            if name in leaves:
                sums[name] += _multiply_adds(module, output)

        return module.register_forward_hook(seen)

    hooks = [watch(name, module) for name, module in (leaves | rows).items()]
    height, width, channels = shape
    was_training = net.training
    try:
        with torch.no_grad():
            net.train()(torch.empty(BATCH, channels, height, width, device="meta"))
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    products = dict.fromkeys(rows, 0)
    for leaf, of_leaf in sums.items():
        products[leaf if deep else leaf.partition(".")[0]] += of_leaf
    return [
        Layer(
            name,
            type(module).__name__,
            shapes.get(name, ()),
            parameters(module),
            products[name],
        )
        for name, module in rows.items()
    ]


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    """Of one image: what each output is summed from, times the number of outputs."""
    outputs = output[0].numel()
    if isinstance(module, nn.Conv2d | nn.Linear):
        return outputs * module.weight[0].numel()
    # Layers of our own say what all outputs at one place of the image are summed from.
    places = math.prod(output.shape[2:])
    return int(getattr(module, "products", 0)) * places
