"""``dsets bundle``: the store → one tar that ``dsets adopt`` takes where there is no network."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ._names import DATASET_OR_SPLIT
from ._progress import bars
from ._text import size, table


@click.command()
@click.argument("names", nargs=-1, metavar="[NAMES]...", type=DATASET_OR_SPLIT)
@click.option(
    "--pack",
    "packs",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="A pack, or a folder of packs, that goes in too. May be repeated.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The tar to write.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be in it, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    names: tuple[str, ...],
    packs: tuple[Path, ...],
    out: Path,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Bundle raw files and packs, with their manifests, digests, terms and attribution.

    NAMES are datasets, or DATASET/SPLIT for the files of one split; what 'dsets fetch' brings.
    With --pack, packs that 'dsets prepare' made, with or without raw files.
    'dsets adopt FILE' proves every byte and takes them into another store, without a network. The
    same files give the same tar; its sha256, which is printed, names it.
    """
    from dsets import adopt

    if not names and not packs:
        raise click.UsageError("Missing argument 'NAMES...', or --pack FOLDER.")
    with bars(quiet=quiet) as report:
        made = adopt.bundle(names, [one for path in packs for one in _packs(path)], progress=report)
    if not dry_run:
        with bars(quiet=quiet) as report:
            adopt.write(made, out, progress=report)
    members = made.contents.members
    if as_json:
        data = {
            "out": str(out),
            "sha256": made.sha256,
            "datasets": list(made.contents.datasets),
            "members": {name: [one.bytes, one.sha256] for name, one in members.items()},
        }
        click.echo(json.dumps(data, indent=2))
        return
    rows = [(name, size(one.bytes), one.sha256) for name, one in members.items()]
    click.echo(f"{table(rows)}\n\nbundle {made.sha256}, {size(made.contents.bytes)} in {out}")


def _packs(path: Path) -> list[Path]:
    """The folder itself, or the packs one folder down."""
    found = sorted(one.parent for one in path.glob("*/index.json"))
    return [path] if (path / "index.json").exists() or not found else found
