"""Manifests by name: the user's folders (``DSETS_MANIFESTS``) first, then those shipped.

Last come those that bundles brought into the store, so that none of them can stand for another.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from dsets import store
from dsets.errors import ManifestError
from dsets.manifest.parse import read
from dsets.manifest.schema import Manifest
from dsets.near import meant


def find(name: str) -> Manifest:
    """The manifest of a dataset. Where two folders have one, the first folder wins.

    Raises:
        ManifestError: there is none, it breaks the schema, or ``DSETS_MANIFESTS`` names no folder.
    """
    paths = _paths()
    if name not in paths:
        near = meant(name[:80], sorted(filter(str.isprintable, paths)))
        raise ManifestError(
            "unknown dataset",
            got=ascii(name[:80]),
            remedy=f"{f'{near} ' if near else ''}'dsets list --all' names those that there are, "
            "DSETS_MANIFESTS the folders of your own manifests",
        )
    return read(paths[name])


def names() -> list[str]:
    """Every dataset that has a manifest, sorted; the manifests themselves aren't opened.

    Raises:
        ManifestError: ``DSETS_MANIFESTS`` names something that is no folder.
    """
    return sorted(_paths())


def _paths() -> dict[str, Path]:
    """Name → file. Only names found here are ever opened, so no name leads out of the folders."""
    found: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("[!.]*.toml")):
            found.setdefault(path.stem, path)
    return found


def _folders() -> list[Path]:
    """The folders in ``DSETS_MANIFESTS``, as in ``PATH``; the shipped one; the store's."""
    given = os.environ.get("DSETS_MANIFESTS", "").split(os.pathsep)
    folders = [Path(folder).expanduser() for folder in given if folder]
    for folder in folders:
        if not folder.is_dir():
            raise ManifestError(
                "no such folder of manifests",
                where="DSETS_MANIFESTS",
                expected=f"folders separated by {os.pathsep!r}",
                got=folder,
            )
    shipped = Path(importlib.import_module("dsets.manifests").__path__[0])
    return [*folders, shipped, store.manifests()]
