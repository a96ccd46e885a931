from __future__ import annotations

import dataclasses
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsets import extension
from dsets.errors import UsageError
from dsets.pack import Statistics, jacobi
from dsets.pack.statistics import _sums

# Pinned: scalar IEEE arithmetic in a fixed order is the same everywhere.
GOLDEN_VALUES = ["0x1.2ed1de951cae0p+2", "0x1.31815d2babbe7p+1", "0x1.e1b5cb5435ca6p+0"]
GOLDEN_VECTOR = ["0x1.abe5af4f5468dp-1", "0x1.05e2b7ffc152bp-1", "0x1.992c41db68053p-3"]


def images(seed: int, count: int, shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def exact(pixels: np.ndarray) -> Statistics:
    """The sums, by Python's integers."""
    rows = pixels.reshape(-1, pixels.shape[-1]).astype(object)
    return Statistics(
        np.uint64(len(pixels)),
        np.uint64(len(rows)),
        pixels.astype(object).sum(axis=0).astype(np.uint64),
        (rows**2).sum(axis=0).astype(np.uint64),
        (rows.T @ rows).astype(np.uint64),
    )


def same(a: Statistics, b: Statistics) -> bool:
    return a.digest == b.digest and all(map(np.array_equal, a.arrays(), b.arrays()))


def test_the_repr_is_one_line_that_tells_statistics_apart():
    found = repr(Statistics.of(images(1, 20, (28, 28, 3))))
    assert found.startswith("Statistics(image: images=20, pixels=15680, sum=(28, 28, 3), digest=")
    assert len(found) < 100
    assert found != repr(Statistics.of(images(2, 20, (28, 28, 3))))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 300),
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 13)),
)
@settings(max_examples=40, deadline=None)
def test_the_sums_are_exact(seed, count, shape):
    pixels = images(seed, count, shape)
    assert same(Statistics.of(pixels), exact(pixels))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_the_sums_are_exact_at_the_extremes(channels, value):
    pixels = np.full((1000, 9, 31, channels), value, np.uint8)
    found = Statistics.of(pixels)
    count = 1000 * 9 * 31
    assert found.arrays()[:2] == (1000, count)
    assert (found.sum == 1000 * value).all()
    assert (found.square_sum == count * value**2).all()
    assert (found.outer_sum == count * value**2).all()


def test_sums_beyond_32_and_53_bits_stay_exact():
    white = Statistics.of(np.full((1, 1, 1, 3), 255, np.uint8))
    many = reduce(lambda total, _: total.merge(total), range(47), white)
    assert many.square_sum.tolist() == [255**2 * 2**47] * 3
    assert many.covariance.tolist() == [[0.0] * 3] * 3
    assert many.channel_mean.tolist() == [255.0] * 3
    with pytest.raises(UsageError, match="too many pixels"):
        reduce(lambda total, _: total.merge(total), range(2), many)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 9), min_size=1, max_size=6), st.data())
@settings(max_examples=40, deadline=None)
def test_any_parts_merged_in_any_order_give_the_same_bits(seed, sizes, data):
    pixels = images(seed, sum(sizes), (2, 3, 3))
    parts = list(np.split(pixels, np.cumsum(sizes)[:-1]))
    sums = [Statistics.of(part) for part in data.draw(st.permutations(parts))]
    while len(sums) > 1:
        number = data.draw(st.integers(0, len(sums) - 2))
        sums[number : number + 2] = [sums[number].merge(sums[number + 1])]
    assert same(sums[0], Statistics.of(pixels))


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_derived_is_right_to_1e_9(channels):
    pixels = images(1, 500, (8, 9, channels))
    found = Statistics.of(pixels)
    rows = pixels.reshape(-1, channels).astype(np.float64)
    centred = rows - rows.mean(axis=0)
    close = {"rtol": 0, "atol": 1e-9}
    assert np.allclose(found.mean_image, pixels.mean(axis=0), **close)
    assert np.allclose(found.channel_mean, rows.mean(axis=0), **close)
    assert np.allclose(found.channel_std, rows.std(axis=0), **close)
    assert np.allclose(found.covariance, centred.T @ centred / len(rows), **close)


def test_images_of_different_sizes_have_sums_of_channels_and_no_mean_image():
    different = [images(n, 1, (n + 1, 3, 3))[0] for n in range(4)]
    found = Statistics.of(different)
    rows = np.concatenate([image.reshape(-1, 3) for image in different])
    assert found.sum.tolist() == rows.sum(axis=0).tolist()
    assert (found.images, found.pixels) == (4, len(rows))
    assert np.allclose(found.channel_std, rows.std(axis=0))
    with pytest.raises(UsageError, match="no mean image"):
        _ = found.mean_image


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=7),
    st.data(),
)
@settings(max_examples=40, deadline=None)
def test_images_of_any_sizes_merge_to_the_same_bits_in_any_order_and_parts(seed, sizes, data):
    """A mean image is there exactly when all have one size, however the parts were cut."""
    all_of = [images(seed + n, 1, (*size, 3))[0] for n, size in enumerate(sizes)]
    whole = Statistics.of(all_of)
    cut = data.draw(st.integers(0, len(all_of)))
    shuffled = data.draw(st.permutations(all_of))
    parts = [Statistics.of(part) for part in (shuffled[:cut], shuffled[cut:]) if part]
    assert same(reduce(Statistics.merge, parts), whole)
    assert (whole.sum.ndim == 3) == (len(set(sizes)) == 1)
    rows = exact(np.concatenate([image.reshape(-1, 3) for image in all_of])[None, None])
    assert whole.channel_sum == rows.channel_sum
    assert np.array_equal(whole.outer_sum, rows.outer_sum)


def test_a_list_of_images_of_one_size_is_the_stack():
    stack = images(3, 5, (4, 7, 3))
    assert same(Statistics.of(list(stack)), Statistics.of(stack))


def test_components_are_of_pixels_from_0_to_1_largest_first_and_positive():
    pixels = images(2, 300, (4, 4, 3))
    pixels[..., 1] = pixels[..., 0] // 2
    values, vectors = Statistics.of(pixels).pca()
    covariance = np.cov(pixels.reshape(-1, 3).T / 255, bias=True)
    assert np.allclose(values, np.linalg.eigvalsh(covariance)[::-1], atol=1e-12)
    assert np.allclose(covariance @ vectors, vectors * values, atol=1e-12)
    assert np.allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)
    assert (vectors[np.abs(vectors).argmax(axis=0), range(3)] > 0).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6))
@settings(max_examples=200, deadline=None)
def test_jacobi_solves_every_symmetric_matrix(entries):
    matrix = np.zeros((3, 3))
    matrix[np.triu_indices(3)] = entries
    matrix = matrix + matrix.T
    values, vectors = jacobi.eigen(matrix)
    scale = np.abs(matrix).max() + 1e-300
    assert np.allclose(vectors * values @ vectors.T / scale, matrix / scale, atol=1e-12)
    assert np.allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)
    assert (np.diff(values) <= 0).all()


def test_jacobi_gives_the_bits_it_always_gave():
    values, vectors = jacobi.eigen(np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]]))
    assert [value.hex() for value in values.tolist()] == GOLDEN_VALUES
    assert [value.hex() for value in vectors[:, 0].tolist()] == GOLDEN_VECTOR


def test_equal_eigenvalues_keep_their_order():
    values, vectors = jacobi.eigen(np.eye(3) * 2)
    assert values.tolist() == [2.0] * 3
    assert vectors.tolist() == np.eye(3).tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 3, 3), np.uint8),
        np.zeros((2, 3, 3, 1), np.float32),
        np.zeros((0, 3, 3, 1), np.uint8),
        np.zeros((2, 3, 3, 0), np.uint8),
        [],
    ],
)
def test_what_is_no_stack_of_images_is_refused(wrong):
    with pytest.raises(UsageError):
        Statistics.of(wrong)


def test_statistics_of_different_things_do_not_merge():
    one = Statistics.of(images(0, 2, (2, 2, 3)))
    for other in (
        Statistics.of(images(0, 2, (2, 2, 1))),
        Statistics.of(images(0, 2, (2, 2, 3)), "mask"),
    ):
        with pytest.raises(UsageError, match="cannot merge"):
            one.merge(other)


@pytest.mark.skipif(extension.native is None, reason="built without the extension")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value", [None, 255])
def test_the_extension_counts_what_numpy_counts(channels: int, value: int | None) -> None:
    shape = (5, 67, 91, channels)  # several blocks of the kernel, the last one not full
    images = np.random.default_rng(channels).integers(0, 256, shape, dtype=np.uint8)
    if value is not None:
        images[:] = value
    stacks = [images[:2], images[2:]]
    fast = _sums(stacks, native=True)
    slow = _sums(stacks, native=False)
    assert all(np.array_equal(a, b) for a, b in zip(fast, slow, strict=True))


@pytest.mark.parametrize("shape", [(3, 35, 41, 3), (300, 7, 5, 1), (2, 65, 67, 4), (2, 9, 9, 13)])
@pytest.mark.parametrize("value", [None, 0, 255])
def test_numpy_counts_what_integers_count(shape: tuple[int, ...], value: int | None) -> None:
    images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    if value is not None:
        images[:] = value
    total, outer = _sums([images, images[:1]], native=False)
    wide = np.concatenate([images, images[:1]]).astype(np.uint64)
    pixels = wide.reshape(-1, shape[-1])
    assert np.array_equal(total, wide.sum(0))
    assert np.array_equal(outer, pixels.T @ pixels)


@pytest.mark.parametrize(
    "change",
    [
        {"images": 0, "pixels": 0},
        {"pixels": 1},
        {"square_sum": [1, 2, 3]},
        {"outer_sum": [[1, 2, 3], [2, 1, 3], [9, 9, 1]], "square_sum": [1, 1, 1]},
        {"outer_sum": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "square_sum": [1, 1, 1]},
    ],
)
def test_sums_that_no_images_have_are_impossible(change):
    whole = Statistics.of(images(0, 2, (2, 2, 3)))
    assert whole.possible
    values = {name: np.array(value, np.uint64) for name, value in change.items()}
    assert not dataclasses.replace(whole, **values).possible
