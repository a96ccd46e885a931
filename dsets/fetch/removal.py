"""Freeing what fetch brought: decided first, then done, never under a running fetch."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from dsets.fetch.part import debris, half_written, origin_path, part_path
from dsets.fetch.receipts import receipt_path
from dsets.locks import holding
from dsets.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Removal:
    """What would go: files that exist, and their bytes."""

    paths: tuple[Path, ...]
    bytes: int


def removable(manifest: Manifest, folder: Path) -> Removal:
    """The manifest's files in the folder, with their parts and receipts, and nothing else.

    Of a file that was adopted it is the link; what that leads to stays.
    """
    left = half_written(folder)
    paths = tuple(
        path
        for file in manifest.files
        for path in _of(folder / file.name, left)
        if path.is_file() or path.is_symlink()
    )
    return Removal(paths, sum(path.lstat().st_size for path in paths))


def remove(manifest: Manifest, folder: Path) -> int:
    """Remove what ``removable`` lists; the bytes freed. The folder goes too when that empties it.

    Raises:
        BusyError: a fetch is working on one of the files; nothing was removed.
    """
    with ExitStack() as held:
        for file in manifest.files:
            part = part_path(folder / file.name)
            if part.is_file():
                held.enter_context(holding(part, wait=False))
        removal = removable(manifest, folder)
        for path in removal.paths:
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
    return removal.bytes


def _of(path: Path, left: list[Path]) -> list[Path]:
    return [path, part_path(path), origin_path(path), receipt_path(path), *debris(path, left)]
