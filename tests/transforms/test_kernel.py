"""The kernel against its specification: equal bit for bit, in every layout, type and view."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsets.transforms import Normalise, kernel, specification
from dsets.transforms.kernel import Images, Kernel
from dsets.transforms.view import Views


def images_of(pixels: np.ndarray, planar: bool) -> Images:
    """The field that stores ``pixels`` (n, H, W, C)."""
    stored = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)) if planar else pixels

    def take(index: np.ndarray, out: np.ndarray) -> None:
        np.take(stored, index, axis=0, out=out, mode="clip")

    _, height, width, channels = pixels.shape
    return Images(take, pixels.dtype, (height, width, channels), planar)


def pixels_of(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    if dtype == "uint8":
        return random.integers(0, 256, shape, dtype=np.uint8)
    return random.normal(0, 300, shape).astype(dtype)


def expected(
    pixels: np.ndarray, index: np.ndarray, views: Views | None, normal: Normalise | None
) -> np.ndarray:
    shown = []
    for row, number in enumerate(index):
        image = pixels[number]
        if views is not None:
            top = 0 if views.top is None else int(views.top[row])
            left = 0 if views.left is None else int(views.left[row])
            mirrored = views.mirrored is not None and bool(views.mirrored[row])
            image = specification.window(image, top, left, mirrored, image.shape[:2])
        shown.append(image if normal is None else specification.normalise(image, normal))
    return np.stack(shown)


@given(
    dtype=st.sampled_from(["uint8", "uint8", "float32", "float16", "int16", "float64"]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])),
    planar=st.booleans(),
    output=st.sampled_from([None, "float32", "float16"]),
    margin=st.one_of(st.none(), st.integers(0, 12)),
    mirror=st.booleans(),
    rows=st.integers(1, 20),
    chunk=st.sampled_from([1, 300, 768 << 10]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=200)
def test_the_kernel_equals_the_specification_bit_for_bit(
    dtype: str,
    size: tuple[int, int, int],
    planar: bool,
    output: str | None,
    margin: int | None,
    mirror: bool,
    rows: int,
    chunk: int,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    pixels = pixels_of(dtype, (7, *size), seed)
    index = random.integers(0, 7, rows)
    top, left = (None, None) if margin is None else random.integers(-margin, margin + 1, (2, rows))
    mirrored = random.random(rows) < 0.5 if mirror else None
    views = Views(size[:2], margin or 0, top, left, mirrored)
    mean, std = random.normal(100, 50, size[2]), random.uniform(0.1, 90, size[2])
    normal = Normalise(tuple(mean), tuple(std), output) if output else None
    made = Kernel(images_of(pixels, planar), normal)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_CHUNK", chunk)
        for _ in range(2):  # the second time in used scratch memory
            out = np.full((rows, *made.shape), 77, made.dtype)
            made.fill(index, views, out)
            wanted = expected(pixels, index, views, normal)
            assert out.dtype == wanted.dtype and out.shape == wanted.shape
            assert np.array_equal(out, wanted)


@pytest.mark.parametrize("planar", [False, True])
def test_without_views_and_normalisation_images_come_height_width_channels(planar: bool) -> None:
    pixels = pixels_of("uint8", (5, 4, 6, 3), 0)
    made = Kernel(images_of(pixels, planar), None)
    out = np.empty((3, *made.shape), made.dtype)
    made.fill(np.array([4, 0, 4]), None, out)
    assert np.array_equal(out, pixels[[4, 0, 4]])


def test_mirroring_twice_is_none_and_a_crop_after_a_mirror_moves_the_other_way() -> None:
    both = np.array([True, False])
    views = Views((4, 4)).flipped(both).flipped(both)
    assert views.mirrored is not None and not views.mirrored.any()
    right = np.array([2, 2])
    moved = Views((4, 4)).flipped(both).shifted(np.zeros(2, np.int64), right, 2)
    assert moved.left is not None and moved.left.tolist() == [-2, 2]


@pytest.mark.parametrize("seed", range(3))
def test_flip_then_crop_is_what_its_steps_are(seed: int) -> None:
    """Carried out one after the other on pixels, in both orders."""
    random = np.random.default_rng(seed)
    image = pixels_of("uint8", (6, 5, 3), seed)
    down, right = (int(n) for n in random.integers(-3, 4, 2))
    one = np.array([True])
    moves = np.array([down]), np.array([right])

    def shown(views: Views) -> Any:
        assert views.top is not None and views.left is not None and views.mirrored is not None
        return specification.window(
            image, int(views.top[0]), int(views.left[0]), bool(views.mirrored[0]), (6, 5)
        )

    cropped = specification.window(image, down, right, False, (6, 5))
    flipped = image[:, ::-1]
    assert np.array_equal(shown(Views((6, 5)).shifted(*moves, 3).flipped(one)), cropped[:, ::-1])
    assert np.array_equal(
        shown(Views((6, 5)).flipped(one).shifted(*moves, 3)),
        specification.window(flipped, down, right, False, (6, 5)),
    )
