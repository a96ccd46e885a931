"""Baseline JPEGs with rare Huffman codes: Pillow's pixels, whoever decodes them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsets import codecs, extension
from dsets.errors import DataError

pytestmark = pytest.mark.skipif(not extension.jpeg, reason="built without the JPEG extension")

SIDE = 40


def pixels(kind: str, seed: int = 0) -> np.ndarray:
    """uint8 (53, 61, 3), whose blocks have no, few or all of their coefficients."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:53, 0:61]
    planes: dict[str, Any] = {
        "flat": np.full((53, 61, 3), 77),
        "noise": random.integers(0, 256, (53, 61, 3)),
        "extremes": random.integers(0, 2, (53, 61, 3)) * 255,
        "checkers": np.repeat(((x + y) % 2 * 255)[:, :, None], 3, 2),
        "patches": np.kron(random.integers(0, 256, (7, 8, 3)), np.ones((8, 8, 1)))[:53, :61],
    }
    return planes[kind].astype(np.uint8)


def jpeg(image: np.ndarray, **options: object) -> bytes:
    target = io.BytesIO()
    Image.fromarray(image).save(target, "JPEG", **options)
    return target.getvalue()


def shown(data: bytes, *, native: bool) -> np.ndarray | str:
    """The pixels in the middle, or why there are none."""
    try:
        return codecs.resized(
            data,
            lambda width, height: codecs.centre_crop(width, height, SIDE),
            codecs.profile("exact"),
            native=native,
        )
    except DataError as error:
        return str(error)


def by_our_decoder(data: bytes) -> bool:
    """Were the codes decoded by the extension's own decoder, not left to the library?"""
    target = np.empty((SIDE, SIDE, 3), np.uint8)
    crop = (SIDE * 61 // 53, SIDE, 0, 0)
    found: bool = extension.native.jpeg_crop(data, 1, *crop, target, SIDE, SIDE, 0)
    return found


@pytest.mark.parametrize("kind", ["flat", "noise", "extremes", "checkers", "patches"])
@pytest.mark.parametrize("quality", [1, 30, 75, 96, 100])
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("optimize", [False, True])
def test_long_codes_long_runs_and_full_blocks_have_pillows_pixels(
    kind, quality, sampling, optimize
) -> None:
    data = jpeg(pixels(kind), quality=quality, subsampling=sampling, optimize=optimize)
    assert by_our_decoder(data)
    assert np.array_equal(shown(data, native=True), shown(data, native=False))


def test_what_is_not_plain_or_not_sound_is_left_to_the_library() -> None:
    restarts = jpeg(pixels("noise"), restart_marker_blocks=2)
    progressive = jpeg(pixels("noise"), progressive=True)
    whole = jpeg(pixels("noise"), quality=60)
    strange = bytearray(whole)
    strange[whole.index(b"\xff\xda") + 11] = 1  # where a lossless image has its predictor
    for data in (restarts, progressive, whole[:-60] + whole[-2:], bytes(strange)):
        assert not by_our_decoder(data)
        assert np.array_equal(shown(data, native=True), shown(data, native=False))


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["noise", "extremes", "patches"]),
    quality=st.sampled_from([5, 60, 100]),
    optimize=st.booleans(),
    seed=st.integers(0, 20),
    data=st.data(),
)
def test_damaged_codes_have_one_fate(kind, quality, optimize, seed, data) -> None:
    good = bytearray(jpeg(pixels(kind, seed), quality=quality, optimize=optimize))
    scan = good.index(b"\xff\xda")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(scan + 14, len(good) - 3))
        deed = data.draw(st.sampled_from(["change", "leave out", "put in"]))
        if deed == "leave out":
            del good[place : place + data.draw(st.integers(1, 40))]
        elif deed == "put in":
            good[place:place] = data.draw(st.binary(min_size=1, max_size=4))
        else:
            good[place] = data.draw(st.integers(0, 255))
    native, portable = (shown(bytes(good), native=way) for way in (True, False))
    assert np.array_equal(native, portable)


def _tables_of(data: bytearray) -> list[int]:
    """Where the segments that define Huffman tables begin."""
    return [place for place in range(2, len(data) - 4) if data[place : place + 2] == b"\xff\xc4"]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_tables_have_one_fate(data) -> None:
    good = bytearray(jpeg(pixels("noise"), quality=60))
    table = data.draw(st.sampled_from(_tables_of(good)))
    for _ in range(data.draw(st.integers(1, 3))):
        good[table + data.draw(st.integers(4, 60))] = data.draw(st.integers(0, 255))
    native, portable = (shown(bytes(good), native=way) for way in (True, False))
    assert np.array_equal(native, portable)
