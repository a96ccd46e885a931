"""Which statistics are ImageNet's published constants? Every candidate, computed from real images.

    python benchmarks/constants.py FOLDER

FOLDER holds training pictures: loose, or in tars, or in tars of tars. Prints Markdown tables,
which docs/statistics.md explains, in float64 NumPy without dsets' own integer sums, but for
the last line: the greatest difference between the two.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from dsets import codecs, published
from dsets.pack import Statistics

EXACT = codecs.profile("exact")


def pictures(path: Path) -> Iterator[bytes]:
    """Every picture below a folder, in the order of names."""
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() in (".jpeg", ".jpg", ".png"):
            yield file.read_bytes()
        elif file.suffix == ".tar":
            yield from _members(file.read_bytes())


def _members(data: bytes) -> Iterator[bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in sorted(archive, key=lambda member: member.name):
            if (file := archive.extractfile(member)) is not None:
                inner = file.read()
                yield from _members(inner) if member.name.endswith(".tar") else (inner,)


def crop(data: bytes, side: int, keep: int) -> np.ndarray:
    """Shorter side to ``side``, central ``keep`` x ``keep``."""

    def size(width: int, height: int) -> codecs.Resize:
        whole = codecs.shorter_side(width, height, side)
        left, top = (whole.width - keep) // 2, (whole.height - keep) // 2
        return codecs.Resize(whole.width, whole.height, left, top, keep, keep)

    return codecs.resized(data, size, EXACT)


def whole(data: bytes, side: int) -> np.ndarray:
    """Shorter side to ``side``, no crop."""
    return codecs.resized(data, lambda w, h: codecs.shorter_side(w, h, side), EXACT)


def nearest(data: bytes, side: int, keep: int) -> np.ndarray:
    """As ``crop``, but each pixel is one of the original's: nothing is averaged."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    size = codecs.shorter_side(image.width, image.height, side)
    left, top = (size.width - keep) // 2, (size.height - keep) // 2
    small = image.resize((size.width, size.height), Image.Resampling.NEAREST)
    return np.asarray(small.crop((left, top, left + keep, top + keep)))


def squashed(data: bytes, side: int) -> np.ndarray:
    """Both sides to ``side``, whatever the proportions."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def figures(images: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The candidates, in pixels scaled to [0, 1]."""
    each = [image.reshape(-1, 3) for image in images]
    count = sum(map(len, each))
    mean = sum((rows.sum(0, dtype=np.float64) for rows in each), np.zeros(3)) / count / 255
    covariance = np.zeros((3, 3))
    for rows in each:
        centred = rows / 255.0 - mean
        covariance += centred.T @ centred
    covariance /= count
    values, vectors = np.linalg.eigh(covariance)
    found = {
        "mean": mean,
        "std of all pixels": np.sqrt(np.diagonal(covariance)),
        "mean of images' std": np.mean([(rows / 255.0).std(0) for rows in each], axis=0),
        "std of images' means": np.std([(rows / 255.0).mean(0) for rows in each], axis=0),
        "variances along the components": values[::-1],
        "deviations along the components": np.sqrt(values[::-1]),
        "components": vectors[:, ::-1],
    }
    if len({image.shape for image in images}) == 1:
        places = np.mean(np.stack(images), axis=0, dtype=np.float64) / 255
        found["std of the mean image"] = places.reshape(-1, 3).std(0)
    return found


def errors(images: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The standard errors of some of them, by bootstrap over the pictures (1,000 draws)."""
    each = [image.reshape(-1, 3) / 255.0 for image in images]
    counts = np.array([len(rows) for rows in each], np.float64)
    sums = np.array([rows.sum(0) for rows in each])
    outers = np.array([rows.T @ rows for rows in each])
    stds = np.array([rows.std(0) for rows in each])
    rng = np.random.default_rng(0)
    drawn: dict[str, list[np.ndarray]] = {}
    for _ in range(1000):
        chosen = rng.integers(0, len(each), len(each))
        count = counts[chosen].sum()
        mean = sums[chosen].sum(0) / count
        covariance = outers[chosen].sum(0) / count - np.outer(mean, mean)
        values = np.linalg.eigvalsh(covariance)[::-1]
        for name, value in (
            ("mean", mean),
            ("std of all pixels", np.sqrt(np.diagonal(covariance))),
            ("mean of images' std", stds[chosen].mean(0)),
            ("variances along the components", values),
            ("deviations along the components", np.sqrt(values)),
        ):
            drawn.setdefault(name, []).append(value)
    return {name: np.std(values, axis=0) for name, values in drawn.items()}


def numbers(values: np.ndarray, digits: int = 4) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    found = list(pictures(parser.parse_args().folder))
    recipes = {
        "256, crop 256": [crop(data, 256, 256) for data in found],
        "256, crop 224": [crop(data, 256, 224) for data in found],
        "256 by nearest pixel, crop 224": [nearest(data, 256, 224) for data in found],
        "256, no crop": [whole(data, 256) for data in found],
        "squashed to 256 x 256": [squashed(data, 256) for data in found],
        "squashed to 32 x 32": [squashed(data, 32) for data in found],
        "own size": [codecs.decode(data) for data in found],
    }
    print(f"{len(found)} pictures\n")
    tables = {name: figures(images) for name, images in recipes.items()}
    spread = {name: errors(images) for name, images in recipes.items()}
    for what in next(iter(tables.values())):
        print(f"| {what} | R, G, B, or 1, 2, 3 | standard error |\n| --- | --- | --- |")
        for name, table in tables.items():
            if (value := table.get(what)) is None:
                continue
            shown = numbers(value) if value.ndim == 1 else " / ".join(map(numbers, value))
            error = spread[name].get(what)
            print(f"| {name} | {shown} | {'' if error is None else numbers(error)} |")
        print()
    print("0-255, B, G, R:", numbers(255 * tables["256, crop 256"]["mean"][::-1], 3))
    for entry in published.find("imagenet"):
        print(f"published: {entry}")
    stack = np.stack(recipes["256, crop 256"])
    mine, theirs = Statistics.of(stack), tables["256, crop 256"]
    values, vectors = mine.pca()
    signs = np.sign((vectors * theirs["components"]).sum(0))
    differences = {
        "mean image": mine.mean_image - stack.mean(0, dtype=np.float64),
        "mean": mine.channel_mean - 255 * theirs["mean"],
        "std": mine.channel_std - 255 * theirs["std of all pixels"],
        "variances": values - theirs["variances along the components"],
        "components": vectors - signs * theirs["components"],
    }
    for name, difference in differences.items():
        print(f"dsets against float64, {name}: {np.abs(difference).max():.2e}")


if __name__ == "__main__":
    main()
