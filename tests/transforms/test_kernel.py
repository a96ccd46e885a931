"""The kernel against its specification: equal bit for bit, in every layout, type and view."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsets import extension
from dsets.stream.gather import Column
from dsets.transforms import Normalise, SubtractMean, TenCrop, compiled, kernel, specification
from dsets.transforms.kernel import Images, Kernel
from dsets.transforms.random import Draws
from dsets.transforms.subtract_mean import Normal
from dsets.transforms.view import Views


@pytest.fixture(params=["C", "NumPy"], autouse=True)
def code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with the extension, where it was built, and without."""
    if request.param == "NumPy":
        monkeypatch.setattr(extension, "native", None)
    elif extension.native is None:
        pytest.skip("the extension was not built")
    return str(request.param)


def images_of(pixels: np.ndarray, planar: bool, shards: int = 1) -> Images:
    """The field that stores ``pixels`` (n, H, W, C)."""
    stored = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)) if planar else pixels
    parts = np.array_split(stored, shards)
    starts = np.cumsum([0, *map(len, parts)])
    return Images(Column(parts, starts), pixels.shape[1:], planar)


def pixels_of(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    if dtype == "uint8":
        return random.integers(0, 256, shape, dtype=np.uint8)
    return random.normal(0, 300, shape).astype(dtype)


def expected(
    pixels: np.ndarray, index: np.ndarray, views: Views | None, normal: Normal | None
) -> np.ndarray:
    shown = []
    for row, number in enumerate(index):
        image, bias = pixels[number], None
        mean = normal.image if isinstance(normal, SubtractMean) else None
        if views is not None:
            top = 0 if views.top is None else int(views.top[row])
            left = 0 if views.left is None else int(views.left[row])
            mirrored = views.mirrored is not None and bool(views.mirrored[row])
            bias = None if views.bias is None else views.bias[row]
            image = specification.window(image, top, left, mirrored, views.size)
            if mean is not None:
                mean = specification.window(mean, top, left, mirrored, views.size)
        if normal is not None:
            image = specification.normalise(image, normal, mean, bias)
        shown.append(image)
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
    crop=st.booleans(),
    subtract=st.booleans(),
    own_bias=st.booleans(),
    shards=st.integers(1, 7),
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
    crop: bool,
    subtract: bool,
    own_bias: bool,
    shards: int,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    pixels = pixels_of(dtype, (7, *size), seed)
    index = random.integers(0, 7, rows)
    window = tuple(int(random.integers(1, side + 1)) for side in size[:2]) if crop else size[:2]
    top, left = (
        (None, None)
        if margin is None
        else (
            random.integers(-margin, side - shown + margin + 1, rows)
            for side, shown in zip(size, window, strict=False)
        )
    )
    mirrored = random.random(rows) < 0.5 if mirror else None
    bias = random.normal(0, 3, (rows, size[2])).astype(np.float32) if own_bias else None
    views = Views(window, margin or 0, top, left, mirrored, bias=bias)
    mean, std = random.normal(100, 50, size[2]), random.uniform(0.1, 90, size[2])
    normal: Normal | None = Normalise(tuple(mean), tuple(std), output) if output else None
    if output and subtract:
        normal = SubtractMean(random.uniform(0, 255, size).astype(np.float32), output)
    made = Kernel(images_of(pixels, planar, shards), normal, window)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_CHUNK", chunk)
        patch.setattr(kernel, "_LARGE", 1 if chunk == 300 else kernel._LARGE)
        patch.setattr(compiled, "_BYPASS", 0 if chunk == 300 else compiled._BYPASS)
        for _ in range(2):  # the second time in used scratch memory
            out = np.full((rows, *made.shape), 77, made.dtype)
            made.fill(index, views, out)
            wanted = expected(pixels, index, views, normal)
            assert out.dtype == wanted.dtype and out.shape == wanted.shape
            assert out.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("planar", [False, True])
def test_without_views_and_normalisation_images_come_height_width_channels(planar: bool) -> None:
    pixels = pixels_of("uint8", (5, 4, 6, 3), 0)
    made = Kernel(images_of(pixels, planar), None)
    out = np.empty((3, *made.shape), made.dtype)
    made.fill(np.array([4, 0, 4]), None, out)
    assert np.array_equal(out, pixels[[4, 0, 4]])


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
    shown=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    planar=st.booleans(),
    output=st.sampled_from([None, "float32", "float16"]),
    mirror=st.booleans(),
    own_bias=st.booleans(),
    chunk=st.sampled_from([1, 768 << 10]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=100)
def test_resized_boxes_equal_the_specification_bit_for_bit(
    size: tuple[int, int, int],
    shown: tuple[int, int],
    planar: bool,
    output: str | None,
    mirror: bool,
    own_bias: bool,
    chunk: int,
    seed: int,
) -> None:
    random, rows = np.random.default_rng(seed), 6
    pixels = pixels_of("uint8", (5, *size), seed)
    index = random.integers(0, 5, rows)
    height, width = (random.integers(1, side + 1, rows) for side in size[:2])
    top = random.integers(0, size[0] - height + 1)
    left = random.integers(0, size[1] - width + 1)
    mirrored = random.random(rows) < 0.5 if mirror else None
    bias = random.normal(0, 3, (rows, size[2])).astype(np.float32) if own_bias else None
    views = Views(shown, 0, top, left, mirrored, height, width, bias)
    normal = Normalise((100.0,) * size[2], (3.0,) * size[2], output) if output else None
    made = Kernel(images_of(pixels, planar, 2), normal, shown)
    out = np.empty((rows, *made.shape), made.dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_CHUNK", chunk)
        made.fill(index, views, out)
    colour = np.broadcast_to(pixels, (5, *size[:2], 3))
    boxes = zip(index, top, left, height, width, strict=True)
    small = [specification.resized(colour[i], y, x, (h, w), shown) for i, y, x, h, w in boxes]
    whole = Views(shown, mirrored=mirrored, bias=bias)
    wanted = expected(np.stack(small)[..., : size[2]], np.arange(rows), whole, normal)
    assert out.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("output", [None, "float32", "float16"])
@pytest.mark.parametrize("planar", [False, True])
def test_ten_crops_are_the_corners_the_centre_and_their_mirror_images(
    output: str | None, planar: bool
) -> None:
    pixels = pixels_of("uint8", (4, 9, 8, 3), 1)
    mean = pixels_of("uint8", (9, 8, 3), 2).astype(np.float32)
    normal = SubtractMean(mean, output) if output else None
    made = Kernel(images_of(pixels, planar), normal, (5, 6), 10)
    views = TenCrop((5, 6)).choose(Views((9, 8)), Draws(0, 0, np.zeros(2, np.uint64)))
    out = np.empty((2, *made.shape), made.dtype)
    made.fill(np.array([3, 1]), views, out)
    corners = [(0, 0), (0, 2), (4, 0), (4, 2), (2, 1)]
    for row, number in enumerate([3, 1]):
        for crop, (top, left) in enumerate(corners * 2):
            cut = (slice(top, top + 5), slice(left, left + 6))
            image = pixels[number][cut]
            if output:
                image = (image - mean[cut]).astype(output).transpose(2, 0, 1)
            across = -1 if output else -2
            wanted = np.flip(image, across) if crop >= 5 else image
            assert np.array_equal(out[row, crop], wanted)
    parts = views[0:1]
    one = np.empty((1, *made.shape), made.dtype)
    made.fill(np.array([3]), parts, one)
    assert np.array_equal(one, out[:1])


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


@given(
    width=st.integers(1, 90),
    left=st.integers(-100, 190),
    mirrored=st.booleans(),
    channels=st.sampled_from([1, 2, 3, 4]),
    planar=st.booleans(),
    output=st.sampled_from([None, "float32", "float16"]),
    bypass=st.sampled_from([0, 4 << 20]),
)
@settings(deadline=None, max_examples=200)
def test_lines_of_every_length_come_whole(
    width: int,
    left: int,
    mirrored: bool,
    channels: int,
    planar: bool,
    output: str | None,
    bypass: int,
) -> None:
    """Vector loops have heads and tails; nothing beside the row is touched."""
    pixels = pixels_of("uint8", (3, 2, 90, channels), width)
    normal = Normalise((100.0,) * channels, (3.0,) * channels, output) if output else None
    made = Kernel(images_of(pixels, planar), normal, (2, width))
    ones = np.ones(1, np.int64)
    views = Views((2, width), 200, ones * 0, ones * left, ones == mirrored)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "_BYPASS", bypass)
        out = np.full((3, *made.shape), 77, made.dtype)
        made.fill(ones, views, out[1:2])
    assert (out[[0, 2]] == 77).all()
    assert out[1:2].tobytes() == expected(pixels, ones, views, normal).tobytes()


def test_values_beyond_float16_become_infinite_and_tiny_ones_round_to_even() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    for mean, std in [(3.0, 1e-4), (0.0, 255 / 65519.9), (0.0, 255 / 65520.0), (7.0, 2.0**24 + 3)]:
        normal = Normalise((mean,), (std,), "float16")
        made = Kernel(images_of(pixels, False), normal)
        out = np.empty((1, *made.shape), made.dtype)
        made.fill(np.zeros(1, np.int64), None, out)
        with np.errstate(over="ignore"):
            wanted = expected(pixels, np.zeros(1, np.int64), None, normal)
        assert out.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("number", [-1, 5, 2**62, -(2**63)])
def test_a_row_that_is_not_there_is_an_error(code: str, number: int) -> None:
    if code == "NumPy":
        pytest.skip("NumPy clips; an order never asks for such a row")
    made = Kernel(images_of(pixels_of("uint8", (5, 4, 6, 3), 0), True, 3), None)
    with pytest.raises(IndexError, match="no such row"):
        made.fill(np.array([0, number]), None, np.empty((2, *made.shape), np.uint8))


def test_buffers_that_do_not_fit_together_are_refused(code: str) -> None:
    if code == "NumPy":
        pytest.skip("it is the extension's face that is attacked")
    native = extension.native
    rows = native.rows([np.zeros((5, 4, 6, 3), np.uint8)], 72)
    eight, floats = np.zeros(2, np.int64), np.zeros(3, np.float32)
    fine: list[Any] = [rows, eight, eight, eight, np.zeros(2, np.bool_), np.empty(144, np.uint8)]
    fine += [(4, 6, 3, False), (4, 6), (0, None, None, False, None)]
    native.gather(*fine)
    whole = np.empty(2 * 72, np.float32)
    for bias, field in [(floats, None), (np.zeros(6, np.float32), np.zeros(72, np.float32))]:
        native.gather(*fine[:5], whole, *fine[6:8], (1, floats, bias, False, field))
    for bias, field in [(np.zeros(5, np.float32), None), (floats, np.zeros(71, np.float32))]:
        with pytest.raises(ValueError, match="do not fit"):
            native.gather(*fine[:5], whole, *fine[6:8], (1, floats, bias, False, field))
    for place, bad in [
        (0, np.zeros(1)),
        (0, None),
        (1, np.zeros(3, np.int64)),
        (1, np.zeros(17, np.uint8)[1:]),
        (2, np.zeros(1, np.int64)),
        (3, np.zeros(15, np.uint8)),
        (4, np.zeros(1, np.bool_)),
        (5, np.empty(143, np.uint8)),
        (6, (4, 6, 1, False)),
        (6, (-4, -6, 3, False)),
        (6, (2**62, 2**62, 2**62, False)),
        (7, (2**40, 2**40)),
        (7, (0, 6)),
        (8, (1, None, None, False, None)),
        (8, (1, floats, floats, False, None)),
        (8, (1, floats[:2], floats, True, None)),
        (8, (3, floats, floats, True, None)),
        (8, (-1, floats, floats, True, None)),
    ]:
        with pytest.raises(ValueError, match="do not fit"):
            native.gather(*fine[:place], bad, *fine[place + 1 :])
    for shards, row_bytes in [([b"12345"], 2), ([b"12"], 0), ([b"12"], -1)]:
        with pytest.raises(ValueError, match="whole rows"):
            native.rows(shards, row_bytes)
    with pytest.raises(TypeError):
        native.rows([b"12", 3], 1)
