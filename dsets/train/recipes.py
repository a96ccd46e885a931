"""How each model is trained unless one says otherwise: one row a model of ``dsets.models``.

Rates and batches are the papers' where they give them. What no recipe has yet: the papers lower
the rate when the error stops falling, and all of ImageNet's nets
see random crops; here the whole image is seen, mirrored or not.
"""

from __future__ import annotations

from dsets.errors import UsageError
from dsets.train.recipe import Recipe

_CIFAR = Recipe(epochs=12, batch_size=128, rate=0.05, weight_decay=1e-3, crop_padding=4, flip=True)
#: Krizhevsky et al. 2012, section 4.2: the rate is the file's own, and nothing is regularised.
_FOUR = Recipe(epochs=40, batch_size=128, rate=0.01, schedule="constant")
#: He et al. 2015, section 4.2.
_CIFAR_RESNET = Recipe(
    epochs=164, batch_size=128, rate=0.1, weight_decay=1e-4, crop_padding=4, flip=True
)
#: Krizhevsky et al. 2012, section 5.
_ALEXNET = Recipe(epochs=90, batch_size=128, rate=0.01, weight_decay=5e-4, flip=True)
#: Simonyan & Zisserman 2014, section 3.1.
_VGG = Recipe(epochs=74, batch_size=256, rate=0.01, weight_decay=5e-4, flip=True)
#: He et al. 2015, section 3.4: 600,000 steps of 256.
_RESNET = Recipe(epochs=120, batch_size=256, rate=0.1, weight_decay=1e-4, flip=True)
#: Szegedy et al. 2014, section 6, has momentum 0.9 and no batch or rate: they are ours. The later
#: papers train with RMSProp.
_INCEPTION = Recipe(epochs=100, batch_size=128, rate=0.045, weight_decay=4e-5, flip=True)

RECIPES = {
    "lenet": Recipe(epochs=5, batch_size=64, rate=0.04, weight_decay=5e-4),
    "lenet5": Recipe(epochs=20, batch_size=64, rate=0.002),
    "cifar_quick": _CIFAR,
    "cifar_relu": _FOUR,
    "cifar_tanh": _FOUR,
    "cifar_13pct": _FOUR,
    "cifar_11pct": _FOUR,
    "torch_tutorial": Recipe(epochs=10, batch_size=64, rate=0.02),
    "alexnet": _ALEXNET,
    **{f"vgg_{letter}": _VGG for letter in ("a", "a_lrn", "b", "c", "d", "e")},
    "googlenet": _INCEPTION,
    "googlenet_heads": _INCEPTION,
    "inception_v2": _INCEPTION,
    "inception_v3": _INCEPTION,
    "inception_v4": _INCEPTION,
    "inception_resnet_v2": _INCEPTION,
    **{f"resnet{depth}": _RESNET for depth in (18, 34, 50, 101, 152)},
    **{f"resnet{depth}_a": _RESNET for depth in (18, 34, 50, 101, 152)},
    **{f"cifar_resnet{depth}": _CIFAR_RESNET for depth in (20, 32, 44, 56, 110)},
    "preact_resnet164": _CIFAR_RESNET,
    "preact_resnet1001": _CIFAR_RESNET,
    "preact_resnet200": _RESNET,
}


def of(model: str) -> Recipe:
    """The recipe of the model called ``model``.

    Raises:
        UsageError: there is none.
    """
    if model not in RECIPES:
        raise UsageError("no recipe for this model", expected="a recipe", got=repr(model))
    return RECIPES[model]
