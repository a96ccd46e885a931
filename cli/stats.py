"""``dsets stats``: the exact statistics of a training pack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from dsets.errors import UsageError

from ._text import count, plain, table

if TYPE_CHECKING:
    from dsets.pack import Statistics


@click.command()
@click.argument("path", metavar="PACK", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON; exact sums as whole numbers.")
def command(path: str, as_json: bool) -> None:
    """Show mean, deviation, covariance and principal components of a pack's pixels.

    They are those of the pack's own samples. Only a training pack has them.
    """
    from dsets.pack import Pack

    pack = Pack.open(path)
    statistics = pack.statistics
    if statistics is None:
        link = pack.index.statistics_of
        raise UsageError(
            "this pack has no statistics",
            where=path,
            expected="a training pack" + (f" (this one's is {link})" if link else ""),
        )
    data = as_data(statistics)
    if as_json:
        click.echo(json.dumps(data, indent=2))
        return
    click.echo(f"{plain(statistics.field)} of {plain(path)}: exact, from every sample\n")
    click.echo(as_text(data))


def as_data(statistics: Statistics) -> dict[str, Any]:
    """The statistics for JSON. Grey levels are 0-255 unless a name says otherwise."""
    values, vectors = statistics.pca()
    mean, std, covariance = (
        statistics.channel_mean,
        statistics.channel_std,
        statistics.covariance,
    )
    return {
        "field": statistics.field,
        "digest": statistics.digest,
        "images": int(statistics.images),
        "pixels": int(statistics.pixels),
        "channel_sum": statistics.channel_sum,
        "square_sum": statistics.square_sum.tolist(),
        "outer_sum": statistics.outer_sum.tolist(),
        "mean": mean.tolist(),
        "std": std.tolist(),
        "covariance": covariance.tolist(),
        "mean_0_1": (mean / 255).tolist(),
        "std_0_1": (std / 255).tolist(),
        "covariance_0_1": (covariance / 255**2).tolist(),
        "eigenvalues_0_1": values.tolist(),
        "eigenvectors": vectors.T.tolist(),
    }


def as_text(data: dict[str, Any]) -> str:
    """The statistics for people."""
    rows = [
        ["images", count(data["images"])],
        ["pixels", count(data["pixels"])],
        ["mean, 0-255", *_numbers(data["mean"])],
        ["deviation, 0-255", *_numbers(data["std"])],
        ["mean, 0-1", *_numbers(data["mean_0_1"])],
        ["deviation, 0-1", *_numbers(data["std_0_1"])],
    ]
    rows += [["covariance, 0-1", *_numbers(row)] for row in data["covariance_0_1"]]
    pairs = zip(data["eigenvalues_0_1"], data["eigenvectors"], strict=True)
    rows += [
        [f"component {number}, 0-1", f"variance {value:.6g} along", *_numbers(vector)]
        for number, (value, vector) in enumerate(pairs, 1)
    ]
    rows.append(["digest", data["digest"]])
    return _lines(rows)


def _lines(rows: list[list[str]]) -> str:
    return table([(name, "  ".join(cells)) for name, *cells in rows])


def _numbers(values: list[float]) -> list[str]:
    return [f"{value:>10.6g}" for value in values]
