"""``dsets stats PACK``: the exact statistics of a training pack's pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsets.errors import PackError

from ._text import count, plain, table

if TYPE_CHECKING:
    from dsets.pack import Pack
    from dsets.pack.statistics import Statistics


@click.command("stats")
@click.argument("path", metavar="PACK", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the integer sums.")
def command(path: Path, as_json: bool) -> None:
    """Show the exact statistics of a training pack's pixels.

    PACK is a training pack, or a folder that holds one pack a split. Means and deviations are in
    grey levels from 0 to 255; the principal components are those of pixels scaled to [0, 1].
    """
    data = _data(*_found(path))
    click.echo(json.dumps(data, indent=2) if as_json else _text(data))


def _found(path: Path) -> tuple[Pack, Statistics]:
    from dsets.pack import Pack

    if (path / "index.json").is_file():
        folders = [path]
    else:
        folders = sorted(index.parent for index in path.glob("*/index.json"))
    packs = [Pack.open(folder) for folder in folders]
    for pack in packs:
        if pack.statistics is not None:
            return pack, pack.statistics
    others = [pack.index.statistics_of for pack in packs if pack.index.statistics_of]
    raise PackError(
        "no statistics here",
        where=path,
        expected="a training pack, or a folder with one in it",
        remedy=f"they are in the training pack, {others[0]}" if others else None,
    )


def _data(pack: Pack, statistics: Statistics) -> dict[str, Any]:
    values, vectors = statistics.pca()
    fixed = statistics.sum.ndim == 3
    return {
        "path": str(pack.path),
        "split": pack.split,
        "field": statistics.field,
        "digest": statistics.digest,
        "images": int(statistics.images),
        "pixels": int(statistics.pixels),
        "mean_image_shape": list(statistics.sum.shape) if fixed else None,
        "channel_mean": statistics.channel_mean.tolist(),
        "channel_std": statistics.channel_std.tolist(),
        "covariance": statistics.covariance.tolist(),
        "pca_values": values.tolist(),
        "pca_vectors": vectors.tolist(),
        "square_sum": statistics.square_sum.tolist(),
        "outer_sum": statistics.outer_sum.tolist(),
    }


def _text(data: dict[str, Any]) -> str:
    shape = data["mean_image_shape"]
    rows = [
        ("pack", data["path"]),
        ("field", plain(data["field"])),
        ("images", count(data["images"])),
        ("pixels", count(data["pixels"])),
        ("mean image", "x".join(map(str, shape)) if shape else "none: sizes differ"),
        ("channel mean", _numbers(data["channel_mean"])),
        ("channel deviation", _numbers(data["channel_std"])),
        *_matrix("covariance", data["covariance"]),
        ("PCA values", _numbers(data["pca_values"])),
        *_matrix("PCA vectors", data["pca_vectors"]),
        ("digest", data["digest"]),
    ]
    return table(rows)


def _matrix(name: str, values: list[list[float]]) -> list[tuple[str, str]]:
    return [(name if row == 0 else "", _numbers(numbers)) for row, numbers in enumerate(values)]


def _numbers(values: list[float]) -> str:
    return "  ".join(f"{value:.6g}" for value in values)
