"""Lighting: colours shifted along their principal components (Krizhevsky et al. 2012, 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dsets import numbers
from dsets.errors import UsageError
from dsets.transforms import random
from dsets.transforms.random import Draws, Words
from dsets.transforms.training import statistics_of

if TYPE_CHECKING:
    from dsets.pack import Pack

#: Quantiles in the table of normals, and their unit.
QUANTILES, UNIT = 4096, 2.0**-16


@dataclass(frozen=True, slots=True)
class Lighting:
    """To every pixel of an image add the sum of p_i alpha_i lambda_i, the alphas drawn once for an
    image and epoch from a normal distribution of mean 0 and the given ``deviation``.

    ``values`` are the C variances lambda_i along the components, ``components`` their vectors p_i,
    C by C, each with an entry a channel, of pixels scaled to [0, 1]; the shift is 255 times as much
    in stored units. Nothing is clipped: the result is float, so Normalise or SubtractMean follows.

    Raises:
        UsageError: other numbers than these.
    """

    values: tuple[float, ...]
    components: tuple[tuple[float, ...], ...]
    deviation: float = 0.1

    def __post_init__(self) -> None:
        values, vectors = numbers.floats(self.values), numbers.floats(self.components)
        if (
            values is None
            or vectors is None
            or values.ndim != 1
            or not 1 <= len(values) <= 4
            or vectors.shape != (len(values), len(values))
            or values.min() < 0
        ):
            raise UsageError(
                "bad components",
                where="Lighting",
                expected="C numbers, 0 or more, and C vectors of C numbers, for 1 to 4 channels",
                got=f"{numbers.written(self.values)} and {numbers.written(self.components)}",
            )
        deviation = numbers.floats(self.deviation)
        if deviation is None or deviation.ndim or deviation < 0:
            raise UsageError(
                "bad deviation",
                where="Lighting",
                expected="0 or more",
                got=numbers.written(self.deviation),
            )
        object.__setattr__(self, "values", tuple(values.tolist()))
        object.__setattr__(self, "components", tuple(map(tuple, vectors.tolist())))
        object.__setattr__(self, "deviation", float(deviation))

    @classmethod
    def of(cls, pack: Pack, deviation: float = 0.1) -> Lighting:
        """With the principal components of the pack's own statistics.

        Raises:
            UsageError: the pack has no statistics; only training packs do.
        """
        statistics = statistics_of(pack, "Lighting.of")
        values, columns = statistics.pca()
        vectors = tuple(tuple(vector) for vector in columns.T.tolist())
        return cls(tuple(max(0.0, value) for value in values.tolist()), vectors, deviation)

    @property
    def largest(self) -> npt.NDArray[np.float64]:
        """float64 (channels,): the largest shift there can be, in stored units."""
        sizes = np.array(self.values) * self.deviation * 255.0 * (table()[-1] * UNIT)
        found: npt.NDArray[np.float64] = sizes @ np.abs(np.array(self.components))
        return found

    def shifts(self, draws: Draws) -> npt.NDArray[np.float64]:
        """(n, channels), in stored units. Word i of purpose LIGHTING gives alpha_i.

        The additions have a fixed order, so the bits are the same everywhere.
        """
        words = draws.words(random.LIGHTING)
        shift: npt.NDArray[np.float64] = np.zeros((len(draws.key_hash), len(self.values)))
        for word, value, vector in zip(words, self.values, self.components, strict=False):
            size = normals(word) * (self.deviation * value * 255.0)
            shift += size[:, None] * np.array(vector)
        return shift


def normals(words: Words) -> npt.NDArray[np.float64]:
    """Standard normals (n,) from words below 2**32: the top 12 bits choose one of 4096 quantiles,
    multiples of 2**-16."""
    chosen: npt.NDArray[np.float64] = table()[(words >> np.uint64(20)).astype(np.int64)].astype(
        np.float64
    )
    return chosen * np.float64(UNIT)


@cache
def table() -> npt.NDArray[np.int64]:
    """int64 (4096,): the quantiles (k + 1/2) / 4096 of the standard normal, in 2**-16, rounded.

    Their variance is 0.9997. No quantile lies so near the middle between two multiples that another
    library's last digit could round it elsewhere; the tests hold the table's digest.
    """
    normal = NormalDist()
    upper = [
        round(normal.inv_cdf((k + 0.5) / QUANTILES) / UNIT)
        for k in range(QUANTILES // 2, QUANTILES)
    ]
    return np.array([-value for value in reversed(upper)] + upper, np.int64)
