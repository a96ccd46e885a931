"""``dsets models [MODEL]``: the reference models; one of them layer by layer."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ._names import MODEL
from ._text import count, table


@click.command("models")
@click.argument("model", required=False, type=MODEL)
@click.option("--deep", is_flag=True, help="A row for every layer inside a block, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the list or the table as JSON.")
def command(model: str | None, deep: bool, as_json: bool) -> None:
    """List the reference models, or tell MODEL layer by layer beside its paper's figures.

    Nothing is computed or allocated: the counts come from torch's meta device.
    """
    if model is None:
        if deep:
            raise click.UsageError("--deep is about the layers of one MODEL; which?")
        _list(as_json)
    else:
        _layers(model, deep, as_json)


def _list(as_json: bool) -> None:
    from dsets import models

    rows = [
        {
            "name": name,
            "title": model.title,
            "parameters": models.parameters(models.sketch(model)),
            "shape": list(model.shape),
            "classes": model.classes,
            "source": model.source,
        }
        for name, model in models.MODELS.items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    cells = [
        (
            str(row["name"]),
            f"{row['parameters']:,}",
            "x".join(map(str, models.MODELS[str(row["name"])].shape)),
            str(row["title"]),
            str(row["source"]),
        )
        for row in rows
    ]
    click.echo(table([("name", "parameters", "images", "title", "source"), *cells]))


def _layers(name: str, deep: bool, as_json: bool) -> None:
    from dsets import models

    model = models.find(name)
    net = models.sketch(model)
    rows, says = models.layers(net, model.shape, deep=deep), model.says()
    whole = models.parameters(net), sum(row.multiply_adds for row in rows)
    if as_json:
        told = {
            "name": name,
            "title": model.title,
            "source": model.source,
            "shape": list(model.shape),
            "classes": model.classes,
            "parameters": whole[0],
            "multiply_adds": whole[1],
            "paper": says.get("all"),
            "layers": [{**asdict(row), "paper": says.get(row.name)} for row in rows],
        }
        click.echo(json.dumps(told, indent=2))
        return
    cells = [
        (
            row.name,
            row.kind,
            "x".join(map(str, row.shape)),
            count(row.parameters) if row.parameters else "",
            count(row.multiply_adds) if row.multiply_adds else "",
            says.get(row.name, ""),
        )
        for row in rows
    ]
    head = ("layer", "kind", "output", "parameters", "multiply-adds", "the paper says")
    last = ("all", "", "", count(whole[0]), count(whole[1]), says.get("all", ""))
    click.echo(f"{model.title} ({model.source})")
    click.echo(table([head, *cells, last]))
