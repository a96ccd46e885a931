"""What quantised features stand for: the publishers' own formula, whatever holds them."""

from __future__ import annotations

import numpy as np
import pytest

from dsets.stream import Ragged
from dsets.transforms import dequantize

EVERY = np.arange(256, dtype=np.uint8)


def test_the_formula() -> None:
    expected = EVERY.astype(np.float64) * (4 / 255) + (4 / 512 - 2)
    found = dequantize(EVERY)
    assert found.dtype == np.float32 and np.allclose(found, expected, atol=1e-6)
    assert round(float(found[0]), 4) == -1.9922 and round(float(found[255]), 4) == 2.0078
    assert np.allclose(dequantize(EVERY, 0, 1), EVERY / 255 + 1 / 512, atol=1e-6)


def test_ragged_rows_and_tensors() -> None:
    torch = pytest.importorskip("torch")
    ragged = Ragged(EVERY.reshape(64, 4), np.array([0, 60, 64]))
    rows = dequantize(ragged)
    assert np.array_equal(rows[1], dequantize(EVERY[240:]).reshape(4, 4))
    tensor = dequantize(torch.from_numpy(EVERY))
    assert tensor.dtype == torch.float32
    assert np.allclose(tensor.numpy(), dequantize(EVERY), atol=1e-6)
