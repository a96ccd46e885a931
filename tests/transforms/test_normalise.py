from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from dsets.errors import UsageError
from dsets.pack import Pack, Statistics
from dsets.transforms import Normalise, specification


class WithStatistics:
    """As much of a pack as Normalise.of looks at."""

    def __init__(self, statistics: Statistics | None) -> None:
        self.statistics = statistics


def of(statistics: Statistics | None, dtype: str = "float32") -> Normalise:
    return Normalise.of(cast(Pack, WithStatistics(statistics)), dtype)


def test_a_packs_own_statistics_bring_its_pixels_to_mean_0_and_deviation_1() -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (50, 8, 8, 3), dtype=np.uint8)
    normal = of(Statistics.of(pixels))
    floats = np.stack([specification.normalise(image, normal) for image in pixels])
    assert floats.shape == (50, 3, 8, 8) and floats.dtype == np.float32
    assert np.allclose(floats.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    assert np.allclose(floats.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_a_channel_that_never_varies_is_only_shifted() -> None:
    normal = of(Statistics.of(np.full((3, 4, 4, 1), 9, np.uint8)), "float16")
    assert (normal.mean, normal.std, normal.dtype) == ((9.0,), (1.0,), "float16")


def test_a_pack_without_statistics_is_refused_with_a_remedy() -> None:
    with pytest.raises(UsageError, match=r"no statistics.*training pack"):
        of(None)


def test_numbers_lists_and_arrays_are_taken_as_one_value_a_channel() -> None:
    plain = Normalise((1.0, 2.0), (3.0, 4.0))
    assert Normalise(cast(Any, [1, 2]), cast(Any, np.array([3, 4]))) == plain
    assert Normalise(cast(Any, 1), cast(Any, 2)) == Normalise((1.0,), (2.0,))
    assert hash(plain) == hash(Normalise((1.0, 2.0), (3.0, 4.0)))


@pytest.mark.parametrize(
    ("mean", "std", "dtype", "message"),
    [
        ((1,), (0,), "float32", "bad std"),
        ((1,), (-1,), "float32", "bad std"),
        ((float("nan"),), (1,), "float32", "bad mean"),
        ((1,), (float("inf"),), "float32", "bad std"),
        ((0,), (1e-300,), "float32", "beyond float32"),
        ((1e300,), (1,), "float32", "beyond float32"),
        ((1, 2), (1,), "float32", "2 and 1"),
        ((), (), "float32", "length"),
        (("a",), (1,), "float32", "bad mean"),
        ("1", (1,), "float32", "bad mean"),
        ((True,), (1,), "float32", "bad mean"),
        (None, (1,), "float32", "bad mean"),
        (([1, 2], [3, 4]), (1,), "float32", "bad mean"),
        ((1,), (1,), "float64", "bad dtype"),
        ((1,), (1,), None, "bad dtype"),
    ],
)
def test_nonsense_is_refused(mean: Any, std: Any, dtype: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Normalise(mean, std, dtype)


def test_what_is_no_pack_is_told_as_such() -> None:
    with pytest.raises(UsageError, match=r"Normalise\.of: not a pack.*'packs/train'.*Pack\.open"):
        Normalise.of(cast(Pack, "packs/train"))
