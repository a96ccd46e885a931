from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from dsets.errors import UsageError
from dsets.pack import Statistics
from dsets.transforms import Lighting, Normalise, SubtractMean, lighting
from dsets.transforms.random import Draws

PLAIN = Lighting((0.2, 0.02, 0.005), ((1.0, 0.0, 0.0), (0.0, 0.6, 0.8), (0.0, 0.8, -0.6)))


TABLE = [-240408, -221325, -20, 20, 221325, 240408]
DIGEST = "0b0f03e2e0369e9433fbf4b9708732519f31890c8a12afe98e7039a7781b528d"
ALPHAS = [
    [-21580, 21410, 51455],
    [-92102, 7294, -118101],
    [-26688, 68607, 12365],
    [118924, -100475, 21326],
]


class WithStatistics:
    """As much of a pack as Lighting.of looks at."""

    def __init__(self, statistics: Statistics | None) -> None:
        self.statistics = statistics


def keys(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**64, n, dtype=np.uint64)


def test_the_test_vectors_of_the_documentation() -> None:
    table = lighting.table()
    assert table[[0, 1, 2047, 2048, 4094, 4095]].tolist() == TABLE
    assert hashlib.sha256(table.astype("<i8").tobytes()).hexdigest() == DIGEST
    hashes = np.array([0, 1, 0x0123456789ABCDEF, 2**64 - 1], np.uint64)
    alphas = [lighting.normals(word) * 65536 for word in Draws(7, 3, hashes).words(4)[:3]]
    assert np.array(alphas).T.tolist() == ALPHAS


def test_no_entry_of_the_table_is_near_enough_to_be_rounded_otherwise() -> None:
    from statistics import NormalDist

    exact = np.array([NormalDist().inv_cdf((k + 0.5) / 4096) * 65536 for k in range(4096)])
    assert np.abs(exact - lighting.table()).max() < 0.5 - 1e-6


def test_shifts_are_normal_along_the_components_and_independent() -> None:
    shifts = PLAIN.shifts(Draws(1, 2, keys(50_000))) / 255
    along = shifts @ np.array(PLAIN.components).T
    assert np.allclose(along.mean(0), 0, atol=0.0015 * 0.2)
    assert np.allclose(along.std(0), 0.1 * np.array(PLAIN.values), rtol=0.02)
    assert np.allclose(np.corrcoef(along.T), np.eye(3), atol=0.02)
    fourth = ((along / along.std(0)) ** 4).mean(0)
    assert np.allclose(fourth, 3, atol=0.15)


def test_a_samples_shift_depends_on_seed_epoch_and_key_alone() -> None:
    hashes = keys(20)
    together = PLAIN.shifts(Draws(1, 2, hashes))
    for row, key in enumerate(hashes):
        alone = PLAIN.shifts(Draws(1, 2, np.array([key])))
        assert alone.tobytes() == together[row].tobytes()
    assert not np.array_equal(together, PLAIN.shifts(Draws(1, 3, hashes)))
    assert not np.array_equal(together, PLAIN.shifts(Draws(2, 2, hashes)))


def test_components_are_those_of_the_packs_own_pixels_in_0_to_1() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    found = Lighting.of(WithStatistics(Statistics.of(pixels)))  # type: ignore[arg-type]
    covariance = np.cov(pixels.reshape(-1, 3).T / 255, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    assert np.allclose(found.values, values[::-1])
    for ours, theirs in zip(found.components, vectors.T[::-1], strict=True):
        assert np.isclose(abs(np.dot(ours, theirs)), 1)
    with pytest.raises(UsageError, match="no statistics"):
        Lighting.of(WithStatistics(None))  # type: ignore[arg-type]


def test_the_bias_of_a_lit_image_is_its_shift_normalised() -> None:
    shift = np.array([[1.0, 2.0, 3.0]])
    normal = Normalise((10.0, 20.0, 30.0), (2.0, 4.0, 8.0))
    assert normal.shifted(shift).tolist() == [[-4.5, -4.5, -3.375]]
    assert SubtractMean(np.zeros((2, 2, 3))).shifted(shift).tolist() == shift.tolist()


@pytest.mark.parametrize(
    "arguments",
    [
        ((), ()),
        ((1.0,), ((1.0, 0.0),)),
        ((1.0, 1.0), ((1.0, 0.0),)),
        ((float("nan"),), ((1.0,),)),
        ((-1.0,), ((1.0,),)),
        ((1.0,), ((1.0,),), -0.1),
        ((1.0,), ((1.0,),), "a"),
        ((1.0,), ((1.0,),), True),
        ((1.0,), ((1.0,),), [0.1]),
        ((True,), ((True,),)),
        (1, 1),
        ("abc", "abc"),
        (None, None),
        (np.ones(5), np.eye(5)),
        (np.ones(2), np.ones(2)),
        ((10**400,), ((1.0,),)),
    ],
)
def test_nonsense_is_refused(arguments: Any) -> None:
    with pytest.raises(UsageError, match=r"Lighting: bad (components|deviation)"):
        Lighting(*arguments)


def test_lists_and_arrays_are_taken_as_tuples_are() -> None:
    plain = Lighting((1.0, 2.0), ((1.0, 0.0), (0.0, 1.0)), 1.0)
    deviation: Any
    for values, components, deviation in (
        (np.array([1, 2]), np.eye(2), np.float32(1)),
        ([1, 2], [[1, 0], [0, 1]], 1),
        ((1, 2), [np.array([1, 0]), np.array([0, 1])], np.int64(1)),
    ):
        found = Lighting(values, components, deviation)  # type: ignore[arg-type]
        assert found == plain and hash(found) == hash(plain)


@pytest.mark.parametrize(
    ("image", "dtype"),
    [
        *((image, "float32") for image in ("a", None, [[["a"]]], [[[1], [2, 3]]], [[[True]]])),
        (np.full((1, 1, 1), 1e300), "float32"),
        (np.zeros(3), "float32"),
        (np.full((1, 1, 1), np.nan), "float32"),
        (np.ones((1, 1, 1)), "f8"),
    ],
)
def test_a_strange_mean_image_is_refused(image: Any, dtype: str) -> None:
    with pytest.raises(UsageError, match="SubtractMean: bad"):
        SubtractMean(image, dtype)
