"""``dsets remove NAME``: free what fetch brought and, if asked, what prepare made of it."""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import click

from dsets import adopt, fetch, manifest, readers, store, subset
from dsets.errors import UsageError
from dsets.locks import holding

from ._names import DATASET
from ._text import size, table


@click.command()
@click.argument("name", type=DATASET)
@click.option("--packs", "with_packs", is_flag=True, help="Remove its prepared packs too.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(name: str, with_packs: bool, dry_run: bool, yes: bool) -> int:
    """Remove a dataset's raw files from the store; files of anyone else stay.

    Of adopted files the links go, and what they lead to stays. With a subset's files goes its
    manifest, unless packs of it stay. Without --yes you are asked first; exit code 1 if you
    decline.
    """
    there = _packs(name)
    packs = there if with_packs else []
    ours = subset.left(name, packs=len(there) > len(packs))
    # Of a subset that never came to an end there is no manifest.
    found = None if ours and name not in manifest.names() else manifest.find(name)
    folder = store.raw(name)
    raw = fetch.removable(found, folder).paths if found else ()
    adopted = adopt.left(found) if found else ()
    listed = (*raw, *readers.kept(name), *adopted, *packs, *ours)
    sizes = [(str(path), _bytes(path)) for path in listed]
    if not sizes:
        click.echo(f"{name}: nothing to remove", err=True)
        return 0
    click.echo(table([(path, size(count)) for path, count in sizes]))
    total = sum(count for _, count in sizes)
    if dry_run:
        click.echo(f"would free {size(total)}")
        return 0
    if not yes and not _agreed(f"Remove these and free {size(total)}?"):
        click.echo("nothing was removed", err=True)
        return 1
    with ExitStack() as held:
        # All locks before the first removal: a running prepare must not cost the raw files.
        for unfinished in (part for pack in packs for part in pack.glob("*.part")):
            held.enter_context(holding(unfinished, folder=unfinished.is_dir(), wait=False))
        if folder.is_dir():  # a running subset holds it
            held.enter_context(holding(folder, folder=True, wait=False))
        for path in adopted:
            adopt.remove(path)
        subset.remove(ours)
        if found:
            fetch.remove(found, folder)
        with suppress(OSError):
            folder.rmdir()
        readers.remove_kept(name)
        for pack in packs:
            shutil.rmtree(pack)
            with suppress(OSError):
                pack.parent.rmdir()
    click.echo(f"freed {size(total)}")
    return 0


def _agreed(question: str) -> bool:
    """The answer on stdin. Not click's prompt: it takes the end of stdin for Ctrl-C."""
    click.echo(f"{question} [y/N]: ", nl=False, err=True)
    answer = sys.stdin.readline() if sys.stdin else ""
    if not answer:
        click.echo(err=True)
        raise UsageError("nobody answered, so nothing was removed", remedy="give --yes")
    return answer.strip().lower() in ("y", "yes")


def _packs(dataset: str) -> list[Path]:
    """The folders below the store's packs of this dataset, one a pipeline."""
    above = store.packs(dataset, "any").parent
    return sorted(path for path in above.glob("*") if path.is_dir() and not path.is_symlink())


def _bytes(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(inner.lstat().st_size for inner in path.rglob("*") if not inner.is_dir())
