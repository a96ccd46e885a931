"""Manifests by name: the user's folders (``DSETS_MANIFESTS``) first, then those shipped."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from dsets.errors import ManifestError
from dsets.manifest.parse import read
from dsets.manifest.schema import Manifest


def _folders() -> list[Path]:
    given = os.environ.get("DSETS_MANIFESTS", "")
    shipped = Path(str(files("dsets.manifests")))
    return [Path(folder) for folder in given.split(os.pathsep) if folder] + [shipped]


def names() -> list[str]:
    return sorted({path.stem for folder in _folders() for path in folder.glob("*.toml")})


def find(name: str) -> Manifest:
    for folder in _folders():
        path = folder / f"{name}.toml"
        if path.is_file():
            return read(path)
    raise ManifestError("unknown dataset", expected=f"one of {', '.join(names())}", got=name)
