"""``dsets list``: every dataset that has a manifest."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from dsets import manifest
from dsets.errors import ManifestError

from ._manifest_text import download_bytes, known_bytes, whole_size
from ._text import count, plain, short, table

HEADINGS = ("name", "title", "samples", "download", "access", "licence")


@click.command("list")
@click.option(
    "--catalogue",
    "which",
    flag_value="catalogue",
    help="Those that are only described, with their status: no reader reads them.",
)
@click.option("--all", "which", flag_value="all", help="Those that can be read, and the others.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every text in full.")
def command(which: str | None, as_json: bool) -> int:
    """List the datasets.

    A download marked > is larger: the size of some of its files is not published.

    The folders in DSETS_MANIFESTS come before those shipped. A manifest that breaks the schema is
    reported on stderr; the rest are listed all the same, and the exit code is 1.
    """
    found, broken = [], 0
    for name in manifest.names():
        try:
            one = manifest.find(name)
            if which == "all" or (one.catalogue is not None) == (which == "catalogue"):
                found.append(_row(one))
        except ManifestError as error:
            click.echo(f"dsets: error: {plain(str(error))}", err=True)
            broken += 1
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        heading = HEADINGS if which is None else (*HEADINGS[:-1], "licence or status")
        click.echo(table([heading, *(_cells(row) for row in found)]))
    return 1 if broken else 0


def _row(found: manifest.Manifest) -> dict[str, Any]:
    variant = manifest.adopted(found.name)
    adopted = (
        [split.name for split in variant.splits if variant.unverified(split)] if variant else []
    )
    return {
        "name": found.name,
        "title": found.title,
        "samples": _samples(variant or found),
        "official_samples": _samples(found),
        "download_bytes": 0 if _gone(found) else download_bytes(found),
        "known_bytes": known_bytes(found),
        "access": found.access,
        "catalogue": asdict(found.catalogue) if found.catalogue else None,
        "adopted": adopted,
        "licence": found.licence,
        "origin": found.origin,
    }


def _gone(found: manifest.Manifest) -> bool:
    """Whether nobody offers the files any more."""
    return found.access == "withdrawn" and not any(file.addresses for file in found.files)


def _samples(found: manifest.Manifest) -> int:
    """Of the splits that are prepared unasked: the others, as a rule, repeat their samples."""
    return sum(split.samples for split in found.default_splits)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    download, told = row["download_bytes"], row["catalogue"]
    return (
        row["name"],
        short(row["title"], 44),
        short(told["size"], 24) if told else count(row["samples"]),
        "none" if download == 0 else whole_size(download, row["known_bytes"]),
        f"{row['access']}; unverified {', '.join(row['adopted'])}"
        if row["adopted"]
        else row["access"],
        short(told["status"] if told else row["licence"], 44),
    )
