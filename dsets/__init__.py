"""From a dataset's name to a busy GPU, with every byte accounted for.

    import dsets

    data = dsets.load("mnist")
    for batch in dsets.stream.batches(data.train, batch_size=128, seed=0):
        step(batch["image"], batch["label"])

Importing loads nothing heavy; the names below arrive when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dsets.errors import DsetsError

if TYPE_CHECKING:
    from dsets import (
        adopt,
        fetch,
        manifest,
        pack,
        prepare,
        readers,
        stream,
        train,
        transforms,
        verify,
    )
    from dsets.loading import load
    from dsets.manifest import Manifest
    from dsets.pack import Pack
    from dsets.stream import Stream

__all__ = [
    "DsetsError",
    "Manifest",
    "Pack",
    "Stream",
    "adopt",
    "fetch",
    "load",
    "manifest",
    "pack",
    "prepare",
    "readers",
    "stream",
    "train",
    "transforms",
    "verify",
]

_ELSEWHERE = {
    "Manifest": "dsets.manifest",
    "Pack": "dsets.pack",
    "Stream": "dsets.stream",
    "load": "dsets.loading",
}


#: Found here too, but needed seldom.
_MORE = ("bench", "codecs", "geometry", "models", "provenance", "remote")


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return getattr(importlib.import_module(_ELSEWHERE[name]), name)
    if name in __all__ or name in _MORE:
        return importlib.import_module(f"dsets.{name}")
    raise AttributeError(f"module 'dsets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
