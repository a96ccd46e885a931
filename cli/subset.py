"""``dsets subset NAME``: some classes, some images, as a dataset of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dsets import fetch, manifest, store, subset

from . import _lock
from ._lock import LOCK_FILE
from ._names import DATASET_OR_SPLIT, checked
from ._progress import bars
from ._terms import agree
from ._text import plain, size, table

INCOMPLETE = 3  # the exit code where images could not be had


@click.command()
@click.argument("name", type=DATASET_OR_SPLIT)
@click.option(
    "--classes",
    multiple=True,
    metavar="A,B,…",
    help="Images with an object of one of these classes. May be repeated.",
)
@click.option(
    "--max", "most", type=click.IntRange(min=1), metavar="N", help="At most N images a split."
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    metavar="SPLIT",
    help="Of this split. May be repeated. Default: those that are prepared unasked.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), metavar="S")
@click.option(
    "--only-classes", "only", is_flag=True, help="Drop the images' objects of other classes."
)
@click.option(
    "--subclasses",
    is_flag=True,
    help="Of the classes' subclasses as well, as Open Images has them.",
)
@click.option(
    "--name",
    "called",
    metavar="NAME",
    callback=checked(manifest.check_name),
    help="The subset's name. Default: what it is.",
)
@click.option(
    "--mirror",
    "mirrors",
    multiple=True,
    metavar="URL",
    help="Try the files by name below this address or folder first. May be repeated.",
)
@click.option("--jobs", default=8, show_default=True, type=click.IntRange(1, 64), metavar="N")
@click.option("--offline", is_flag=True, help="Use what is here; fail if anything is missing.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--lock", is_flag=True, help="Write what was made into the lock file.")
@LOCK_FILE
@click.option("--accept-terms", is_flag=True, help="Accept the dataset's terms, for scripts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors and the subset's name.")
def command(name: str, called: str | None, as_json: bool, quiet: bool, **how: Any) -> int:
    """Fetch only some images of a dataset, as a dataset of its own.

    NAME is a dataset, or DATASET/SPLIT. Images are chosen by their annotations, which are fetched
    first if they are not here; then only the chosen images come, by ranges out of the published
    archives. Class names count without capitals. Of more images than --max those are taken whose
    digest with the seed is smallest: the same everywhere, and a larger --max only adds some. The
    subset is a dataset like any other: 'dsets show', 'verify', 'prepare' and dsets.load take its
    name. Exit code 3 where it was made and some images could not be had, which are listed.
    """
    dataset, slash, split = name.partition("/")
    parent = manifest.current(dataset)
    classes = tuple(
        one.strip() for given in how["classes"] for one in given.split(",") if one.strip()
    )
    classes = tuple({" ".join(one.casefold().split()): one for one in reversed(classes)}.values())
    classes = classes[::-1]  # each once, as it was first written
    if how["classes"] and not classes:
        raise click.BadParameter("no class named", param_hint="--classes")
    selection = subset.Selection(
        classes,
        how["most"],
        (*([split] if slash else []), *how["splits"]),
        how["seed"],
        how["only"],
        how["subclasses"],
    )
    named = called or subset.default_name(parent, selection)
    mirrors = how["mirrors"]
    with bars(quiet=quiet) as report:
        plan = subset.plan(parent, selection, named, mirrors=mirrors, progress=report)
    if how["dry_run"]:
        click.echo(json.dumps(_plan_data(plan), indent=2) if as_json else _plan_text(plan))
        return 0
    agree(parent, given=how["accept_terms"], how="fetched", quiet=quiet)
    if not plan.ready:
        with bars(quiet=quiet) as report:
            fetch.files(plan.annotations, offline=how["offline"], progress=report)
            plan = subset.plan(parent, selection, named, mirrors=mirrors, progress=report)
    with bars(quiet=quiet) as report:
        made = subset.make(plan, jobs=how["jobs"], offline=how["offline"], progress=report)
    _keep_to_lock(made, how["lock_file"], write=how["lock"])
    if as_json:
        click.echo(json.dumps(_made_data(made, plan), indent=2))
    else:
        _tell(made, quiet=quiet)
    return INCOMPLETE if any(made.lacking.values()) else 0


def _keep_to_lock(made: subset.Made, path: Path, *, write: bool) -> None:
    """Write the lock, or refuse a subset that is another than was locked."""
    if write:
        fetch.lockfile.update(path, fetch.plan(made.manifest, store.raw(made.manifest.name)))
    elif locked := _lock.read(path).get(made.manifest.name):
        fetch.lockfile.pinned(made.manifest, locked, path)


def _tell(made: subset.Made, *, quiet: bool) -> None:
    for split, lacking in made.lacking.items():
        for image in lacking:
            click.echo(plain(f"{split}: {image.key}: {image.reason}"), err=True)
    if not quiet:
        for one in made.manifest.splits:
            digest = made.samples[one.name]
            click.echo(f"{one.name}: {one.samples} images, samples digest {digest}", err=True)
            click.echo(f"{one.name}: images digest {made.contents[one.name]}", err=True)
        how = "was here" if made.had else _transfer(made)
        count = sum(map(len, made.lacking.values()))
        click.echo(how + (f"; {count} images could not be had" if count else ""), err=True)
    click.echo(made.manifest.name)


def _transfer(made: subset.Made) -> str:
    return f"{made.received:,} bytes came by {made.requests:,} requests"


def _plan_text(plan: subset.Plan) -> str:
    terms = "\n".join(map(plain, fetch.terms.of(plan.parent).text.splitlines()))
    if not plan.ready:
        files = [("annotations", "size", "from")]
        for step in plan.annotations.missing:
            known = "?" if step.file.bytes is None else size(step.file.bytes)
            files.append((step.file.name, known, fetch.shown((*step.addresses, "no address")[0])))
        return f"{terms}\n\n{table(files)}\n\nthe annotations come first; they say which images"
    rows = [("split", "images", "of", "archive", "from")]
    for share in plan.shares:
        places = [fetch.shown(place.address) for place in share.places] or ["no address"]
        counts = f"{len(share.pictures):,}", f"{share.matching:,}"
        rows.append((share.source.split.name, *counts, share.choice.images, places[0]))
        rows += [("", "", "", "", place) for place in places[1:]]
    return f"{terms}\n\n{table(rows)}\n\nas {plan.name} in {plan.folder}"


def _plan_data(plan: subset.Plan) -> dict[str, Any]:
    return {
        "dataset": plan.parent.name,
        "name": plan.name,
        "folder": str(plan.folder),
        "annotations_missing": [step.file.name for step in plan.annotations.missing],
        "download_bytes": plan.annotations.download_bytes,
        "selection": plan.identity,
        "splits": {
            share.source.split.name: {
                "matching": share.matching,
                "images": [picture.key for picture in share.pictures],
                "archive": share.choice.images,
                "addresses": [fetch.shown(place.address) for place in share.places],
            }
            for share in plan.shares
        },
    }


def _made_data(made: subset.Made, plan: subset.Plan) -> dict[str, Any]:
    return {
        "dataset": plan.parent.name,
        "name": made.manifest.name,
        "folder": str(plan.folder),
        "manifest": made.manifest.digest,
        "complete": not any(made.lacking.values()),
        "was_here": made.had,
        "received_bytes": made.received,
        "requests": made.requests,
        "from": list(made.addresses),
        "splits": {
            split.name: {
                "samples": split.samples,
                "samples_digest": made.samples[split.name],
                "images_digest": made.contents[split.name],
            }
            for split in made.manifest.splits
        },
        "lacking": {
            split: [{"key": one.key, "name": one.place, "reason": one.reason} for one in some]
            for split, some in made.lacking.items()
        },
    }
