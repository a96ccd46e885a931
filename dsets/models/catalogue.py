"""The reference models by name. Plain data: a model's file, and torch, load when it is built."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsets.errors import MissingLibraryError, UsageError
from dsets.near import meant

if TYPE_CHECKING:
    from torch import nn

#: One image's height, width, channels.
Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Model:
    """``build(shape, classes)`` makes it, untrained, for images of shape (H, W, C).

    What it makes maps images float32 (n, C, H, W) to logits float32 (n, classes); with auxiliary
    heads, and while training, to a tuple of logits, the net's own first. ``shape`` and ``classes``
    are the source's. ``says()`` gives the source's figures by row of the layer table, and under
    "all" what it says of the whole net.
    """

    build: Callable[[Shape, int], nn.Module]
    shape: Shape
    classes: int
    title: str
    source: str = ""
    says: Callable[[], Mapping[str, str]] = dict


def find(name: str) -> Model:
    """The model called ``name``.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in MODELS:
        raise UsageError(
            "no such model",
            expected=f"one of {', '.join(MODELS)}",
            got=repr(name),
            remedy=meant(name, MODELS),
        )
    return MODELS[name]


def _of(file: str, shape: Shape, classes: int, source: str) -> Callable[..., Model]:
    """Makes rows of the table for one file: title, its function, that function's options."""

    def row(title: str, function: str, **options: Any) -> Model:
        def build(shape: Shape, classes: int) -> nn.Module:
            made: nn.Module = getattr(_load(file), function)(shape, classes, **options)
            return made

        def says() -> Mapping[str, str]:
            module, which = _load(file), next(iter(options.values()), None)
            told: dict[str, str] = dict(getattr(module, "PAPER", {}))
            told |= getattr(module, "PAPER_BY", {}).get(which, {})
            if whole := getattr(module, "WHOLE", {}).get(which):
                told["all"] = whole
            return told

        return Model(build, shape, classes, title, source, says)

    return row


def _load(file: str) -> Any:
    try:
        return importlib.import_module(f"dsets.models.{file}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingLibraryError(
            "a model needs torch, which is not installed", remedy="pip install 'dsets[torch]'"
        ) from error


_MNIST, _CIFAR, _IMAGENET = (28, 28, 1), (32, 32, 3), (224, 224, 3)
_lenet = _of("lenet", _MNIST, 10, "BVLC Caffe, examples/mnist")
_lenet5 = _of("lenet5", _MNIST, 10, "LeCun et al. 1998")
_quick = _of("cifar_quick", _CIFAR, 10, "cuda-convnet; BVLC Caffe, examples/cifar10")
_small = _of("cifar_small", _CIFAR, 10, "ours")
_four = _of("cifar_four", _CIFAR, 10, "Krizhevsky et al. 2012; cuda-convnet, example-layers")
_tutorial = _of("torch_tutorial", _CIFAR, 10, "torch's CIFAR-10 tutorial")
_alexnet = _of("alexnet", _IMAGENET, 1000, "Krizhevsky et al. 2012")
_vgg = _of("vgg", _IMAGENET, 1000, "Simonyan & Zisserman 2014")
_googlenet = _of("googlenet", _IMAGENET, 1000, "Szegedy et al. 2014")
_v2 = _of("inception_v2", _IMAGENET, 1000, "Ioffe & Szegedy 2015")
_v3 = _of("inception_v3", (299, 299, 3), 1000, "Szegedy et al. 2015")
_v4 = _of("inception_v4", (299, 299, 3), 1000, "Szegedy et al. 2016")
_inception_resnet = _of("inception_resnet_v2", (299, 299, 3), 1000, "Szegedy et al. 2016")
_resnet = _of("resnet", _IMAGENET, 1000, "He et al. 2015")
_cifar_resnet = _of("cifar_resnet", _CIFAR, 10, "He et al. 2015, section 4.2")
_preact_cifar = _of("preact_resnet", _CIFAR, 10, "He et al. 2016")
_preact = _of("preact_resnet", _IMAGENET, 1000, "He et al. 2016")

MODELS: dict[str, Model] = {
    "lenet": _lenet("Caffe's LeNet, for MNIST", "lenet"),
    "lenet5": _lenet5("LeNet-5 as in the paper", "lenet5"),
    "cifar_quick": _quick("cuda-convnet's and Caffe's quick net", "cifar_quick"),
    "cifar_small": _small("a small batch-normed net of ours", "cifar_small"),
    "cifar_relu": _four("AlexNet's figure 1, with ReLU", "figure1", activation="relu"),
    "cifar_tanh": _four("AlexNet's figure 1, with tanh", "figure1", activation="tanh"),
    "cifar_13pct": _four("AlexNet's section 3.3, without LRN", "section33", normalised=False),
    "cifar_11pct": _four("AlexNet's section 3.3, with LRN", "section33", normalised=True),
    "torch_tutorial": _tutorial("the Torch tutorial net", "torch_tutorial"),
    "alexnet": _alexnet("AlexNet, two groups, LRN, overlapping pooling", "alexnet"),
    **{
        f"vgg_{letter}": _vgg(f"VGG {letter.upper().replace('_', '-')}", "vgg", letter=letter)
        for letter in ("a", "a_lrn", "b", "c", "d", "e")
    },
    "googlenet": _googlenet("GoogLeNet, Inception v1", "googlenet", heads=False),
    "googlenet_heads": _googlenet("GoogLeNet with auxiliary heads", "googlenet", heads=True),
    "inception_v2": _v2("Inception v2, BN-Inception", "inception_v2"),
    "inception_v3": _v3("Inception v3, no auxiliary head", "inception_v3"),
    "inception_v4": _v4("Inception v4", "inception_v4"),
    "inception_resnet_v2": _inception_resnet("Inception-ResNet v2", "inception_resnet_v2"),
    **{
        f"resnet{depth}": _resnet(f"ResNet-{depth}, projections", "resnet", depth=depth)
        for depth in (18, 34, 50, 101, 152)
    },
    **{
        f"resnet{depth}_a": _resnet(
            f"ResNet-{depth}, parameter-free shortcuts", "resnet", depth=depth, option="A"
        )
        for depth in (18, 34, 50, 101, 152)
    },
    **{
        f"cifar_resnet{depth}": _cifar_resnet(
            f"ResNet-{depth} for CIFAR", "cifar_resnet", depth=depth
        )
        for depth in (20, 32, 44, 56, 110)
    },
    "preact_resnet164": _preact_cifar("pre-activation ResNet-164", "preact_cifar", depth=164),
    "preact_resnet1001": _preact_cifar("pre-activation ResNet-1001", "preact_cifar", depth=1001),
    "preact_resnet200": _preact("pre-activation ResNet-200", "preact_resnet200"),
}
