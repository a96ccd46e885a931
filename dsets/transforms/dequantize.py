"""Quantised features → the numbers they stand for, as YouTube-8M's own code gives them.

    x * (high - low) / 255 + (high - low) / 512 + low

(google/youtube-8m, utils.py: Dequantize, with 2 and -2: from -1.9922 to 2.0078.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np


def dequantize(values: Any, low: float = -2.0, high: float = 2.0) -> Any:
    """float32 of the shape of ``values``: a uint8 array, a tensor, or a ``Ragged`` of either."""
    scale = (high - low) / 255
    bias = (high - low) / 512 + low
    if isinstance(values, np.ndarray):
        return values * np.float32(scale) + np.float32(bias)
    from dsets.stream.ragged import Ragged  # which imports transforms itself

    if isinstance(values, Ragged):
        return replace(values, values=dequantize(values.values, low, high))
    return values.float() * scale + bias
