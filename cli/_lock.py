"""``--lock-file``, and what is done with the lock that it names."""

from __future__ import annotations

from pathlib import Path

import click

from dsets.fetch import lockfile
from dsets.manifest import Manifest

LOCK_FILE = click.option(
    "--lock-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=lockfile.NAME,
    show_default=True,
    metavar="FILE",
    help="The lock file.",
)


def read(path: Path) -> dict[str, lockfile.Locked]:
    """What a lock has; nothing where there is none. Raises LockError where it is damaged."""
    return lockfile.read(path) if path.exists() else {}


def pinned(official: Manifest, path: Path) -> Manifest:
    """The manifest as locked, with a note where it changed since; itself where nothing is locked.

    Raises:
        LockError: the lock is damaged, or cannot be kept with this manifest.
    """
    locked = read(path).get(official.name)
    if locked is None:
        return official
    if locked.manifest != official.digest:
        click.echo(
            f"dsets: note: the manifest of {official.name} changed since {path} was written; "
            "the files are fetched as locked",
            err=True,
        )
    return lockfile.pinned(official, locked, path)
