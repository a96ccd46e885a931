"""``dsets repair``: the damaged files of a pack, made again to the very bytes of its index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dsets.errors import PackError
from dsets.fetch import shown
from dsets.prepare import repair
from dsets.remote import cache

from ._job_options import where_to_run
from ._names import packs
from ._progress import bars
from ._text import count, plain, table


@click.command()
@click.argument("path", metavar="PACK", type=click.Path())
@click.option(
    "--pipeline",
    metavar="FILE.py",
    help="The pipeline that made the pack, where it is not an installed one.",
)
@where_to_run
@click.option("--dry-run", is_flag=True, help="Say what is damaged, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    path: str,
    pipeline: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **running: Any,
) -> None:
    """Make the damaged files of a pack, or of every pack in a folder, again.

    Reads all of the pack. Only damaged or missing shards are made, from the verified raw files, to
    the same sha256 as the index has; the statistics are added up again from the shards. Nothing
    that the pack names is run: its pipeline must be installed, or be given, with the same source.
    """
    if "://" in path:
        raise _far(shown(path), shown(path))
    if _in_cache(Path(path).resolve()):
        raise _far(path, "ADDRESS")
    folders = packs(Path(path))
    if not folders:
        raise PackError("no pack here", where=path, expected="a folder with index.json, or of such")
    plans = []
    with bars("samples", quiet=quiet) as report:
        for folder in folders:
            with bars(quiet=quiet) as reading:
                found = repair.plan(folder, pipeline=pipeline, progress=reading)
            plans.append(found)
            if found.damaged and not dry_run:
                repair.run(found, progress=report, **running)  # workers, scheduler
    done = "damaged" if dry_run else "mended"
    if as_json:
        click.echo(
            json.dumps([{**one.as_json(), "mended": not dry_run} for one in plans], indent=2)
        )
        return
    rows = [(plain(str(one.pack)), name, done) for one in plans for name in one.damaged]
    whole = [one for one in plans if not one.damaged]
    if rows:
        click.echo(table(rows))
    for one in whole:
        click.echo(
            f"{plain(str(one.pack))}: nothing is damaged, {count(one.index.samples)} samples"
        )


def _in_cache(path: Path) -> bool:
    root = cache.folder().resolve()
    inside = any(path.is_relative_to(root / one) for one in ("index", "packs"))
    return inside or (path == root and not packs(path))


def _far(where: str, address: str) -> PackError:
    """What to say of a remote pack: only its cache is ours to write."""
    return PackError(
        "a remote pack is repaired where it lies",
        where=where,
        remedy=f"where only the cache is damaged, 'dsets verify {address}' renews it",
    )
