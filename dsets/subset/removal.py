"""What a subset leaves in the store beside its files: its manifest, and images of a broken call."""

from __future__ import annotations

import shutil
from pathlib import Path

from dsets import manifest, store
from dsets.errors import UsageError
from dsets.manifest import check_name
from dsets.subset.record import FILE
from dsets.subset.spool import FOLDER


def left(name: str, *, packs: bool) -> tuple[Path, ...]:
    """The paths to remove besides the raw files; none of a dataset that is no subset.

    With ``packs`` some packs of it stay, and its manifest too: they are found by its name.
    """
    try:
        check_name(name)
    except UsageError:
        return ()
    spool = store.raw(name) / FOLDER
    found = [spool] if spool.is_dir() and not spool.is_symlink() else []
    path = store.manifests() / f"{name}.toml"
    if path.is_file() and not packs and FILE in {file.name for file in manifest.read(path).files}:
        found.append(path)
    return tuple(found)


def remove(paths: tuple[Path, ...]) -> None:
    """Remove what ``left`` gave; whoever calls holds the lock of the raw folder."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
