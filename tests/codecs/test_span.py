"""Outputs made alone: as few as Pillow can, and always with the bits of all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from dsets.codecs.geometry import Resize
from dsets.codecs.sampling import sampled
from dsets.codecs.span import span

KINDS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@pytest.mark.parametrize(
    ("length", "resized", "first", "last", "expected"),
    [
        (500, 384, 64, 320, (63, 321)),  # edges after every third output
        (512, 320, 32, 288, (30, 290)),
        (1024, 512, 128, 384, (128, 384)),
        (300, 300, 22, 278, (22, 278)),
        (500, 341, 42, 298, (0, 341)),  # no edge but the two ends
        (500, 384, 0, 384, (0, 384)),
        (256, 256, 0, 256, (0, 256)),
        (2**25 + 1, 2**24, 2**23 + 1, 2**23 + 2, (0, 2**24)),  # an edge of more than 24 bits
    ],
)
def test_as_few_as_the_box_allows(length, resized, first, last, expected) -> None:
    assert span(length, resized, first, last, "bilinear") == expected


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.tuples(st.integers(1, 120), st.integers(1, 120)),
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 2**32 - 1),
    st.data(),
)
@example((125, 64), (96, 64), "bilinear", 1, None)
@example((64, 125), (64, 96), "bicubic", 1, None)
@example((200, 150), (64, 48), "bilinear", 2, None)
def test_the_crop_has_the_bits_of_the_whole(size, resized, filter, seed, data) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(pixels)
    edges = [(side // 5, side - side // 4) for side in resized]
    if data:
        edges = [
            sorted((data.draw(st.integers(0, side - 1)), data.draw(st.integers(1, side))))
            for side in resized
        ]
    (left, right), (top, bottom) = ((a, max(b, a + 1)) for a, b in edges)
    crop = Resize(*resized, left, top, right - left, bottom - top)
    whole = sampled(image, Resize(*resized, 0, 0, *resized), filter)  # type: ignore[arg-type]
    expected = np.asarray(whole)[top:bottom, left:right]
    found = sampled(image, crop, filter)  # type: ignore[arg-type]
    assert np.array_equal(np.asarray(found), expected)
