"""Our nets' outputs beside torchvision's, timm's and pytorchcv's, with the same random weights.

    PEERS/bin/pip install -r benchmarks/requirements-agreement.txt .
    PEERS/bin/python benchmarks/agreement_models.py [NAME ...]

Layers with weights are paired in the order in which the two nets run them, and must have the same
shapes; then two random images go through both in float64, batch norm with random statistics. One
line for every net: whose, the number of weights, the largest difference of a logit, and the largest
logit. Where a peer has another architecture than the paper, the line's function changes the peer
first, and says so. The status is 1 if a difference is more than 1e-9 of the largest logit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from copy import deepcopy
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsets import models

ALLOWED = 1e-9


def running_order(net: nn.Module, images: Tensor) -> list[nn.Module]:
    """The layers that own weights, in the order in which they run (on the meta device)."""
    seen: list[str] = []
    sketch = deepcopy(net).to("meta")
    for name, layer in sketch.named_modules():
        if list(layer.parameters(recurse=False)):
            layer.register_forward_pre_hook(lambda *_, name=name: seen.append(name))
    sketch(images.to("meta"))
    for shortcut in [name for name in seen if name.endswith("identity_conv")]:  # pytorchcv's last
        seen.remove(shortcut)
        before = seen.index(shortcut.replace("identity_conv", "body.conv1.bn"))
        seen.insert(before + 1, shortcut)
    layers = dict(net.named_modules())
    return [layers[name] for name in seen]


def randomise(net: nn.Module) -> None:
    """Weights that keep the scale of the maps, and nothing that is 0 or 1."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            nn.init.uniform_(layer.weight, 0.5, 1.2)
            nn.init.normal_(layer.bias, std=0.1)
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=sqrt(2 / layer.weight[0].numel()))
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.1)


def give(ours: nn.Module, theirs: nn.Module, images: Tensor) -> int:
    """Give theirs the weights of ours; the number of them."""
    pairs = list(zip(running_order(ours, images), running_order(theirs, images), strict=True))
    for mine, other in pairs:
        fill(mine, other)
    assert sum(w.numel() for m, _ in pairs for w in m.parameters()) == models.parameters(ours)
    return models.parameters(ours)


def fill(mine: nn.Module, other: nn.Module) -> None:
    """One layer's: those of groups on the diagonal, a 1x1 kernel in the middle of a 3x3."""
    given = mine.state_dict()
    if isinstance(mine, nn.Conv2d) and isinstance(other, nn.Conv2d):
        assert mine.stride == other.stride, (mine, other)
        whole = torch.zeros_like(other.weight)
        rows, columns = (len(side) // mine.groups for side in (whole, whole[0]))
        edge = (other.kernel_size[0] - mine.kernel_size[0]) // 2
        for group in range(mine.groups):
            place = whole[
                group * rows : (group + 1) * rows, group * columns : (group + 1) * columns
            ]
            kernels = mine.weight[group * rows : (group + 1) * rows]
            place[...] = functional.pad(kernels, (edge,) * 4)
        given["weight"] = whole
        if mine.bias is None and other.bias is not None:
            given["bias"] = torch.zeros_like(other.bias)
    elif isinstance(mine, nn.Linear):  # timm classifies by a convolution of 1x1
        given["weight"] = mine.weight.reshape(other.weight.shape)
    other.load_state_dict(given)


def halve_in_first(net: nn.Module) -> nn.Module:
    """The stride of a bottleneck is in its first 1x1 in the paper, in its 3x3 in later code."""
    for block in net.modules():
        if hasattr(block, "conv3") and hasattr(block, "conv2"):
            first, second = (getattr(one, "conv", one) for one in (block.conv1, block.conv2))
            first.stride, second.stride = second.stride, (1, 1)
    return net


class Padded(nn.Module):
    """Option A."""

    def __init__(self, stride: tuple[int, int], new: int) -> None:
        super().__init__()
        self.stride, self.new = stride, new

    def forward(self, maps: Tensor) -> Tensor:
        kept = maps[..., :: self.stride[0], :: self.stride[1]]
        return torch.cat([kept, kept.new_zeros(len(kept), self.new, *kept.shape[2:])], 1)


def pad_shortcuts(net: nn.Module) -> nn.Module:
    for block in net.modules():
        for name in ("downsample", "identity_conv"):
            shortcut = getattr(block, name, None)
            if shortcut is not None:
                made = next(one for one in shortcut.modules() if isinstance(one, nn.Conv2d))
                new = made.out_channels - made.in_channels
                setattr(block, name, Padded(made.stride, new))  # type: ignore[arg-type]
    return net


def response_norm() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)


def torchvision_resnet(depth: int, option: str) -> nn.Module:
    import torchvision.models

    net: nn.Module = getattr(torchvision.models, f"resnet{depth}")()
    return pad_shortcuts(halve_in_first(net)) if option == "A" else halve_in_first(net)


def torchvision_vgg(letter: str) -> nn.Module:
    """C is D, whose 3x3 kernels can hold C's 1x1 ones; A-LRN is A with a layer after a ReLU."""
    import torchvision.models

    name = {"a": 11, "a_lrn": 11, "b": 13, "c": 16, "d": 16, "e": 19}[letter]
    net: Any = getattr(torchvision.models, f"vgg{name}")(init_weights=False)
    if letter == "a_lrn":
        net.features[1] = nn.Sequential(nn.ReLU(), response_norm())
    return net  # type: ignore[no-any-return]


def torchvision_alexnet() -> nn.Module:
    """torchvision's is the later one of a single tower: other widths, no normalisation, no groups.

    With the paper's widths and normalisation its other layers, pools and their order are compared;
    of our two groups' kernels its full ones hold zeros where no connection is.
    """
    import torchvision.models

    net: Any = torchvision.models.AlexNet()
    widths = iter((96, 256, 384, 384, 256))
    inputs = 3
    for place, layer in enumerate(net.features):
        if isinstance(layer, nn.Conv2d):
            layer = nn.Conv2d(inputs, next(widths), layer.kernel_size, layer.stride, layer.padding)
            net.features[place], inputs = layer, layer.out_channels
    for place in (1, 4):
        net.features[place] = nn.Sequential(nn.ReLU(), response_norm())
    return net  # type: ignore[no-any-return]


def torchvision_googlenet() -> nn.Module:
    """With the table's 5x5, normalisation, and last pool; batch norms gone, convolutions biased."""
    import torchvision.models

    net: Any = torchvision.models.GoogLeNet(aux_logits=False, init_weights=False)
    for block in net.modules():
        if type(block).__name__ == "Inception":
            small = block.branch3[1].conv
            block.branch3[1].conv = nn.Conv2d(small.in_channels, small.out_channels, 5, padding=2)
    for unit in list(net.modules()):
        if type(unit).__name__ == "BasicConv2d":
            old = unit.conv
            unit.bn = nn.Identity()
            unit.conv = nn.Conv2d(
                old.in_channels, old.out_channels, old.kernel_size, old.stride, old.padding
            )
    net.maxpool1 = nn.Sequential(net.maxpool1, response_norm())
    net.maxpool2 = nn.Sequential(response_norm(), net.maxpool2)
    net.maxpool4 = nn.MaxPool2d(3, 2, ceil_mode=True)
    return net  # type: ignore[no-any-return]


def torchvision_inception_v3() -> nn.Module:
    import torchvision.models

    net: nn.Module = torchvision.models.Inception3(aux_logits=False, init_weights=False)
    return net


def timm_net(file: str, kind: str, **options: Any) -> nn.Module:
    import importlib

    made: nn.Module = getattr(importlib.import_module(f"timm.models.{file}"), kind)(**options)
    return made


def timm_preact200() -> nn.Module:
    """timm normalises after the first pool, the authors' code and ours before it: the same, as
    batch norm with a positive scale and ReLU keep the order that a maximum looks at."""
    net = timm_net(
        "resnetv2",
        "ResNetV2",
        layers=[3, 24, 36, 3],
        conv_layer=timm_conv(),
        norm_layer="batchnorm2d",
    )
    return halve_in_first(net)


def timm_conv() -> Any:
    from timm.layers import create_conv2d

    return create_conv2d


def pytorchcv_net(file: str, function: str, **options: Any) -> nn.Module:
    import importlib

    file = f"pytorchcv.models.{file}"
    made: nn.Module = getattr(importlib.import_module(file), function)(**options)
    return made


def pytorchcv_bninception() -> nn.Module:
    """Its convolutions have biases, which become 0; its batch norms another epsilon than ours."""
    net = pytorchcv_net("bninception", "bninception")
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 0.001
    return net


#: Our name, whose net, how it is made.
PAIRS: list[tuple[str, str, Callable[[], nn.Module]]] = [
    ("alexnet", "torchvision, changed", torchvision_alexnet),
    *(
        (f"vgg_{letter}", "torchvision", lambda letter=letter: torchvision_vgg(letter))
        for letter in ("a", "a_lrn", "b", "c", "d", "e")
    ),
    ("googlenet", "torchvision, changed", torchvision_googlenet),
    ("inception_v2", "pytorchcv", pytorchcv_bninception),
    ("inception_v3", "torchvision", torchvision_inception_v3),
    ("inception_v3", "timm", lambda: timm_net("inception_v3", "InceptionV3")),
    ("inception_v4", "timm", lambda: timm_net("inception_v4", "InceptionV4")),
    (
        "inception_resnet_v2",
        "timm",
        lambda: timm_net("inception_resnet_v2", "InceptionResnetV2"),
    ),
    *(
        (
            f"resnet{depth}{'_a' if option == 'A' else ''}",
            "torchvision",
            lambda depth=depth, option=option: torchvision_resnet(depth, option),
        )
        for option in ("B", "A")
        for depth in (18, 34, 50, 101, 152)
    ),
    *(
        (
            f"cifar_resnet{depth}",
            "pytorchcv",
            lambda depth=depth: pad_shortcuts(
                pytorchcv_net(
                    "resnet_cifar",
                    "get_resnet_cifar",
                    num_classes=10,
                    blocks=depth,
                    bottleneck=False,
                )
            ),
        )
        for depth in (20, 32, 44, 56, 110)
    ),
    *(
        (
            f"preact_resnet{depth}",
            "pytorchcv",
            lambda depth=depth: halve_in_first(
                pytorchcv_net(
                    "preresnet_cifar",
                    "get_preresnet_cifar",
                    num_classes=10,
                    blocks=depth,
                    bottleneck=True,
                )
            ),
        )
        for depth in (164, 1001)
    ),
    ("preact_resnet200", "timm", timm_preact200),
]


def compare(name: str, theirs: nn.Module) -> tuple[int, float, float]:
    """The number of weights, the largest difference of a logit, the largest logit."""
    model = models.find(name)
    ours = model.build(model.shape, model.classes).double().eval()
    theirs = theirs.double().eval()
    randomise(ours)
    height, width, channels = model.shape
    images = torch.randn(1, channels, height, width, dtype=torch.float64)
    with torch.no_grad():
        weights = give(ours, theirs, images)
        mine, other = ours(images), theirs(images)
    return weights, float((mine - other).abs().max()), float(mine.abs().max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    status = 0
    for name, whose, made in PAIRS:
        if given.names and name not in given.names:
            continue
        torch.manual_seed(0)
        try:
            weights, difference, largest = compare(name, made())
        except (AssertionError, RuntimeError, ValueError) as error:
            print(f"{name:20} {whose:20} DIFFERS: {error}", flush=True)
            status = 1
            continue
        agree = difference <= ALLOWED * largest
        status |= not agree
        print(
            f"{name:20} {whose:20} {weights:12,} weights  difference {difference:.1e}"
            f" of {largest:.1e}{'' if agree else '  DIFFERS'}",
            flush=True,
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
