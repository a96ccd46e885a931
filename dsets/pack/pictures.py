"""Statistics as pictures: the mean image, and the colours along each principal component."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsets import codecs
from dsets.atomic import replacing
from dsets.errors import UsageError
from dsets.pack.statistics import Statistics

#: Deviations from the mean, one patch of colour each.
STEPS = (-3, -2, -1, 0, 1, 2, 3)
#: Pixels along a side of a patch.
PATCH = 64


def draw(statistics: Statistics, folder: Path) -> tuple[Path, ...]:
    """Write ``mean.png`` (where there is a mean image) and ``component-1.png`` … into a folder.

    The folder is made if need be; files of these names are replaced.

    Raises:
        UsageError: neither one channel nor three, so it is no picture; or the folder cannot be
            written to.
    """
    if statistics.channels not in (1, 3):
        raise UsageError("cannot draw", expected="1 or 3 channels", got=statistics.channels)
    pictures = {}
    if statistics.sum.ndim == 3:
        pictures["mean.png"] = _levels(statistics.mean_image)
    for number in range(statistics.channels):
        pictures[f"component-{number + 1}.png"] = strip(statistics, number)
    try:
        for name, pixels in pictures.items():
            with replacing(folder / name) as part:
                part.write_bytes(codecs.encode_png(pixels))
    except OSError as error:
        raise UsageError("cannot write pictures", where=folder, got=error.strerror) from error
    return tuple(folder / name for name in pictures)


def strip(statistics: Statistics, number: int) -> npt.NDArray[np.uint8]:
    """uint8 (PATCH, len(STEPS) * PATCH, C): mean + k sqrt(λ) v for each k of STEPS.

    λ and v are the component's variance and direction; colours are cut off at 0 and 255.
    """
    values, vectors = statistics.pca()
    shift = 255 * np.sqrt(max(values[number], 0.0)) * vectors[:, number]
    colours = _levels(statistics.channel_mean + np.array(STEPS)[:, None] * shift)
    return np.repeat(np.repeat(colours[None], PATCH, axis=0), PATCH, axis=1)


def _levels(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
