"""``dsets stats``: the exact statistics of a training pack."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsets.errors import UsageError

from ._text import count, plain, table

if TYPE_CHECKING:
    from dsets.pack import Statistics
    from dsets.published import Comparison, Published

_FIGURES = {
    "mean": "mean",
    "std": "deviation",
    "pca_values": "variances along components",
    "pca_vectors": "components (columns)",
}


@click.command()
@click.argument("path", metavar="PACK", type=click.Path())
@click.option(
    "--png",
    "folder",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Draw the mean image and the principal colours there.",
)
@click.option(
    "--compare",
    metavar="NAME",
    help="Set them beside those published of this dataset.  [default: the pack's own, if any]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; exact sums as whole numbers.")
def command(path: str, folder: Path | None, compare: str | None, as_json: bool) -> None:
    """Show mean, deviation, covariance and principal components of a pack's pixels.

    They are those of the pack's own samples. Only a training pack has them.

    The picture of a component has seven colours: the mean, and one to three deviations along the
    component to either side of it.
    """
    from dsets import published
    from dsets.pack import Pack, pictures

    entries = published.find(compare) if compare is not None else ()
    pack = Pack.open(path)
    statistics = pack.statistics
    if statistics is None:
        link = pack.index.statistics_of
        raise UsageError(
            "this pack has no statistics",
            where=path,
            expected="a training pack" + (f" (this one's is {link})" if link else ""),
        )
    own = pack.index.provenance.get("dataset")
    if compare is None and own in published.names() and statistics.channels == 3:
        entries = published.find(own)
    compared = [(entry, published.compare(entry, statistics)) for entry in entries]
    drawn = pictures.draw(statistics, folder) if folder is not None else ()
    data = as_data(statistics)
    if as_json:
        more = [_compared_data(entry, found) for entry, found in compared]
        pngs = {"png": [str(path) for path in drawn]} if folder is not None else {}
        click.echo(json.dumps(data | ({"compared": more} if more else {}) | pngs, indent=2))
        return
    click.echo(f"{plain(statistics.field)} of {plain(path)}: exact, from every sample\n")
    click.echo(as_text(data))
    for entry, found in compared:
        click.echo(f"\n{_compared_text(entry, found)}")
    for one in drawn:
        click.echo(f"wrote {plain(str(one))}", err=True)


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


def _compared_data(entry: Published, found: Sequence[Comparison]) -> dict[str, Any]:
    return {
        "name": entry.name,
        "source": entry.source,
        "range": entry.range,
        "channels": entry.channels,
        "notes": entry.notes,
        "figures": {
            one.figure: {
                "published": one.theirs.tolist(),
                "ours": one.ours.tolist(),
                "difference": one.difference,
            }
            for one in found
        },
    }


def _compared_text(entry: Published, found: Sequence[Comparison]) -> str:
    rows: list[list[str]] = []
    for one in found:
        unit = " degrees apart" if one.figure == "pca_vectors" else ""
        beside = zip(_rows(one.theirs), _rows(one.ours), strict=True)
        for number, (theirs, ours) in enumerate(beside):
            rows.append(
                [
                    _FIGURES[one.figure] if number == 0 else "",
                    "  ".join(_numbers(theirs)),
                    "|",
                    "  ".join(_numbers(ours)),
                    f"{one.difference:.3g}{unit}" if number == 0 else "",
                ]
            )
    head = ["", "published", "|", "this pack", "greatest difference"]
    return "\n".join(
        [
            f"{plain(entry.name)}: 0-{entry.range}, {entry.channels}",
            f"({plain(entry.source)})",
            table([head, *rows]),
            *([f"note: {plain(entry.notes)}"] if entry.notes else []),
        ]
    )


def _rows(values: Any) -> list[list[float]]:
    """A vector as one row, a matrix as its rows."""
    found: list[Any] = values.tolist()
    return found if isinstance(found[0], list) else [found]


def _lines(rows: list[list[str]]) -> str:
    return table([(name, "  ".join(cells)) for name, *cells in rows])


def _numbers(values: list[float]) -> list[str]:
    return [f"{value:>10.6g}" for value in values]
