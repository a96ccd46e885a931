"""Reference models, each readable beside its paper: one file a family.

    net = dsets.models.find("alexnet").build((224, 224, 3), 1000)
    rows = dsets.models.layers(net, (224, 224, 3))

The table of names needs no torch; building and counting do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dsets.errors import MissingLibraryError
from dsets.models.catalogue import MODELS, Model, find

if TYPE_CHECKING:
    from dsets.models.counting import Layer, layers, parameters, sketch

__all__ = ["MODELS", "Layer", "Model", "find", "layers", "parameters", "sketch"]


def __getattr__(name: str) -> Any:
    if name not in ("Layer", "layers", "parameters", "sketch"):
        raise AttributeError(f"module 'dsets.models' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module("dsets.models.counting"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingLibraryError(
            "counting a model needs torch, which is not installed",
            remedy="pip install 'dsets[torch]'",
        ) from error
