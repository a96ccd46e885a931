"""Which outputs of a resize Pillow can make without the others, to the same bits."""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING

from dsets.codecs.profile import Filter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Pillow's weights are integers, these times what they are.
_WEIGHT = 2**22
#: Nearer than this to the middle between two integers a weight might be rounded either way: its
#: own arithmetic, in float64, is off by 1e-6 at most.
_CLEAR = 1e-5


@lru_cache(maxsize=4096)
def span(length: int, resized: int, first: int, last: int, filter: Filter) -> tuple[int, int]:
    """Outputs ``a`` to ``b`` of an axis of ``length`` that is resized to ``resized``.

    They hold ``first`` to ``last``, and are as few as Pillow makes with the same weights when they
    alone are asked for: ``Image.resize`` with a box from ``a * length / resized`` to
    ``b * length / resized``. It takes the box as float32, so most sizes leave all: (0, resized).
    """
    import numpy as np

    whole = (0, resized)
    odd = resized // gcd(length, resized)
    odd //= odd & -odd  # outputs after which an edge lies on a binary fraction
    a, b = first // odd * odd, -(-last // odd) * odd
    start, stop = a * length / resized, b * length / resized
    exact = all(float(np.float32(edge)) == edge for edge in (start, stop, stop - start))
    if (a, b) == whole or not exact:
        return whole
    weights = np.abs(_weights(length, resized, np.arange(a, b), filter)) * _WEIGHT
    return (a, b) if (np.abs(weights % 1 - 0.5) > _CLEAR).all() else whole


def _weights(
    length: int, resized: int, outputs: NDArray[np.int64], filter: Filter
) -> NDArray[np.float64]:
    """float64 (outputs, taps), of a filter that is as wide as the scale, within the axis."""
    import numpy as np

    scale = length / resized
    wide = max(scale, 1.0)
    support = wide * (2 if filter == "bicubic" else 1)
    centre = (outputs[:, None] + 0.5) * scale
    inputs = np.floor(centre - support + 0.5) + np.arange(2 * np.ceil(support) + 1)
    x = np.abs(inputs - centre + 0.5) / wide
    if filter == "bicubic":
        inner, outer = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
        weights = np.where(x < 1, inner, np.where(x < 2, outer, 0))
    else:
        weights = np.maximum(1 - x, 0)
    weights = np.where((inputs >= 0) & (inputs < length), weights, 0)
    found: NDArray[np.float64] = weights / weights.sum(1, keepdims=True)
    return found
