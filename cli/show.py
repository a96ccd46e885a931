"""``dsets show``: what a dataset officially is and what of it is here; or what a pack holds."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsets import manifest, store
from dsets.errors import DataError, PackError
from dsets.near import meant

from ._in_force import in_force
from ._names import DATASET_OR_SPLIT, spelt
from ._text import count, plain

if TYPE_CHECKING:
    from dsets.readers import Reader

INDEX = "index.json"
_VALUES = 8  # of a list, in a cell of the table
LIMIT = 10  # rows of a table, unless told otherwise


@click.command("show")
@click.argument("name", metavar="NAME|PACK", type=DATASET_OR_SPLIT)
@click.option(
    "--samples",
    is_flag=False,
    flag_value=0,
    default=None,
    type=click.IntRange(min=0),
    metavar="[N]",
    help="Show the table that the reader makes of a split; with N the first N samples in full.",
)
@click.option(
    "--png",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="With --samples N: draw boxes, masks and keypoints on the pictures, a file a sample.",
)
@click.option(
    "--split",
    help="Only this split and its files; with --samples: which.  [default: the first that is here]",
)
@click.option("--part", help="Only this part, such as annotations, and what needs it.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help=f"With --samples and no N: how many rows, 0 for all.  [default: {LIMIT}]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    name: str,
    samples: int | None,
    png: Path | None,
    split: str | None,
    part: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show a dataset by NAME, or a pack, or every pack of a folder, by its path or address.

    NAME is a dataset, or DATASET/SPLIT, which is --split. A path has a slash in it (./mnist) where
    a dataset has the same name, and so has a folder (mnist/train). Hyphens and capitals of a
    dataset's name do not matter.
    """
    if "://" not in name and not Path(name).is_dir():
        name, split = _named(name, split)
    if "://" in name:
        _only_for_datasets(f"the address {name}", samples, png, split, part)
        click.echo(_remote(name, as_json))
    elif os.sep in name or (name and Path(name).is_dir() and name not in manifest.names()):
        _only_for_datasets(f"the path {name}", samples, png, split, part)
        click.echo(_packs(Path(name), as_json))
    elif png and not samples:
        known = "" if limit is None else f", not --limit {limit}"
        raise click.UsageError(f"--png goes with --samples N, the number of samples to draw{known}")
    elif limit is not None and samples != 0:
        what = "" if samples is None else f", and --samples {samples} has its number"
        raise click.UsageError(f"--limit {limit} goes with --samples without a number{what}")
    elif part and samples is not None:
        raise click.UsageError(f"--samples are of a split, not of --part {part}")
    elif samples:
        from . import _sample_text

        source, reader = _source(in_force(name), split)
        click.echo(_sample_text.shown(source, reader, samples, png, as_json=as_json))
    elif samples is not None:
        rows = LIMIT if limit is None else limit
        click.echo(_samples(in_force(name), split, rows, as_json))
    else:
        click.echo(_dataset(_narrowed(in_force(name), split, part), as_json))


def _named(name: str, split: str | None) -> tuple[str, str | None]:
    """The dataset and the split that DATASET/SPLIT means; else what was given."""
    first, slash, last = name.partition("/")
    dataset = spelt(first)
    if not slash:
        return dataset, split
    if not last or "/" in last or dataset not in manifest.names():
        return name, split
    if split not in (None, last):
        raise click.UsageError(f"--split {split} is another than that of {name}")
    return dataset, last


def _only_for_datasets(got: str, samples: int | None, *others: object) -> None:
    if samples is not None or any(others):
        raise click.UsageError(f"--samples, --png, --split and --part are for datasets, not {got}")


def _narrowed(found: manifest.Manifest, split: str | None, part: str | None) -> manifest.Manifest:
    """The manifest with the files of the split and of the part only, and the splits they serve."""
    files = found.files
    if part:
        names = found.part(part)
        files = tuple(file for file in files if file.name in names)
    if split:
        split = found.split(split).name
        needed = found.split(split).files
        files = tuple(file for file in files if file.name in needed)
    names = tuple(file.name for file in files)
    splits = tuple(
        one
        for one in found.splits
        if (one.name == split if split else not part or set(names) & set(one.files))
    )
    return replace(found, files=files, splits=splits)


def _dataset(found: manifest.Manifest, as_json: bool) -> str:
    from dsets import fetch

    from . import _manifest_text, _progress

    with _progress.bars() as progress:
        plan = fetch.plan(found, store.raw(found.name), progress=progress)
    if as_json:
        return _json(_manifest_text.as_data(found, plan))
    return _manifest_text.as_text(found, plan)


def _source(found: manifest.Manifest, name: str | None) -> tuple[manifest.Source, Reader]:
    """A split whose files are here, and its reader."""
    from dsets import readers

    if not found.splits:
        raise DataError("this dataset has no splits", where=found.name)
    folder = store.raw(found.name)
    here = [one for one in found.splits if all((folder / file).is_file() for file in one.files)]
    split = found.split(name) if name else [*here, found.splits[0]][0]
    source = manifest.Source(found, split, folder)
    reader = readers.load(found.reader)
    reader.check(source)
    for file in split.files:
        if not source.path(file).is_file():
            raise DataError(
                "not fetched yet",
                where=source.path(file),
                remedy=f"run: dsets fetch {found.name}/{split.name}",
            )
    return source, reader


def _samples(found: manifest.Manifest, name: str | None, limit: int, as_json: bool) -> str:
    source, reader = _source(found, name)
    rows = reader.table(source)
    shown = rows.head(limit) if limit else rows
    if as_json:
        return str(shown.to_json(orient="records", indent=2))
    text = shown.map(lambda value: plain(_short(value))).to_string()
    return f"{text}\n\n{count(len(shown))} of {count(len(rows))} samples of {source.split.name}"


def _short(value: Any) -> str:
    """A cell of the table; of many values the first few, or one row would widen all others."""
    if isinstance(value, tuple | list) and len(value) > _VALUES:
        return f"({', '.join(map(str, value[:_VALUES]))}, … {len(value):,} in all)"
    return str(value)


def _packs(path: Path, as_json: bool) -> str:
    from dsets.pack import index

    from . import _pack_text

    folders = [path]
    if not path.exists() and not path.is_absolute():
        raise PackError(
            "no pack here, and no dataset of that name",
            where=path,
            expected=f"a folder with {INDEX}, or DATASET/SPLIT",
            remedy=meant(path.parts[0][:80] if path.parts else "", manifest.names()),
        )
    if path.is_dir() and not (path / INDEX).exists():
        folders = sorted(found.parent for found in path.glob(f"*/{INDEX}"))
    if not folders:
        raise PackError("no pack here", where=path, expected=f"{INDEX}, here or one folder down")
    packs = [(folder, index.read(folder)) for folder in folders]
    if as_json:
        data = [_pack_text.as_data(*pack) for pack in packs]
        return _json(data[0] if folders == [path] else data)
    return "\n\n\n".join(_pack_text.as_text(*pack) for pack in packs)


def _remote(address: str, as_json: bool) -> str:
    from dsets.fetch import shown
    from dsets.pack import Pack

    from . import _pack_text

    pack = Pack.open(address)
    if as_json:
        return _json(_pack_text.as_data(shown(address), pack.index))
    return _pack_text.as_text(shown(address), pack.index)


def _json(data: Any) -> str:
    return json.dumps(data, indent=2)
