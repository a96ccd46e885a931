"""Where things lie: raw files and packs below one home folder.

    $DSETS_HOME/raw/<dataset>/<file>                 the files as published, still archived
    $DSETS_HOME/index/<dataset>/<split>-….columns    where samples lie in them; can be made again
    $DSETS_HOME/packs/<dataset>/<pipeline>/<split>/  the packs made from them
    $DSETS_HOME/terms/<dataset>.json                 which terms were accepted
    $DSETS_HOME/manifests/<dataset>.toml             of subsets, and of what only a bundle knew

Importing creates nothing; whoever writes makes the folder it needs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def home() -> Path:
    """``$DSETS_HOME``, or ``dsets`` in the platform's cache folder."""
    if given := os.environ.get("DSETS_HOME"):
        return Path(given).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dsets"
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "dsets"


def raw(dataset: str) -> Path:
    """The folder of a dataset's raw files."""
    return home() / "raw" / dataset


def index(dataset: str) -> Path:
    """The folder of what readers found out about a dataset's raw files."""
    return home() / "index" / dataset


def manifests() -> Path:
    """The folder of the manifests of subsets, and of those that came with bundles."""
    return home() / "manifests"


def packs(dataset: str, pipeline: str) -> Path:
    """The folder that holds one pack a split."""
    return home() / "packs" / dataset / pipeline
