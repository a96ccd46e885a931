"""``dsets why CHECKPOINT``: where weights come from, link by link, back to the official archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ._text import plain

MARKS = {"holds": "ok", "absent": "not here", "changed": "changed", "broken": "BROKEN"}


@click.command("why")
@click.argument("path", metavar="CHECKPOINT|RUN|PACK", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--packs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the run's packs lie now, if they were moved.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(path: Path, packs: Path | None, as_json: bool) -> int:
    """Print the chain from the official archive to these weights, or to this pack.

    Each link has its digests; what of it is on this machine is compared with them. Exit code 1 if
    something that should be the same is not.
    """
    from dsets import provenance

    links = provenance.of(path, packs)
    if as_json:
        click.echo(json.dumps([asdict(link) for link in links], indent=2))
    else:
        for link in links:
            click.echo(plain(f"{link.kind} {link.name}"))
            for line in _lines(link.facts, "  "):
                click.echo(plain(line))
            for check in link.checks:
                click.echo(plain(f"  [{MARKS[check.state]}] {check.what}: {check.told}"))
    broken = any(check.state == "broken" for link in links for check in link.checks)
    return 1 if broken else 0


def _lines(facts: dict[str, Any], indent: str) -> Iterator[str]:
    """Facts as lines: a table on one, unless it has tables or digests in it; lists by items."""
    for name, value in facts.items():
        items = value if isinstance(value, list) else [value]
        if value in ("", None, [], {}):
            continue
        if not all(isinstance(item, dict) for item in items):
            yield f"{indent}{name}: {', '.join(map(str, items))}"
            continue
        for item in items:
            if not any(isinstance(inner, dict | list) or _long(inner) for inner in item.values()):
                line = ", ".join(f"{key} {inner}" for key, inner in item.items() if inner != "")
                yield f"{indent}{name}: {line}"
            else:
                yield f"{indent}{name}:"
                yield from _lines(item, indent + "  ")


def _long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > 40
