from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets.errors import UsageError
from dsets.transforms import RandomResizedCrop, random_resized_crop
from dsets.transforms.random import RESIZED_CROP, Draws
from dsets.transforms.view import Boxes, Views

VECTORS_256 = [(57, 36, 154, 176), (2, 4, 235, 250), (111, 14, 105, 85), (43, 61, 209, 167)]
VECTORS_375 = [(65, 92, 260, 298), (5, 54, 330, 357), (144, 30, 178, 144), (20, 149, 354, 282)]


def keys(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def rows(boxes: Boxes) -> list[tuple[int, ...]]:
    parts = (boxes.top, boxes.left, boxes.height, boxes.width)
    return list(zip(*(part.tolist() for part in parts), strict=True))


def plainly(crop: RandomResizedCrop, draws: Draws, height: int, width: int) -> tuple[int, ...]:
    """One sample, in Python's integers, by the rule as docs/streaming.md gives it."""
    least, most = (round(share * 2**24) for share in crop.area)
    roots, inverses = random_resized_crop.tables(crop.aspect)
    for turn in range(10):
        area, shape, down, right = (int(word[0]) for word in draws.words(RESIZED_CROP, turn))
        side = isqrt(height * width * (least + area * (most - least + 1) // 2**32))
        k = shape * 4097 // 2**32
        w = (side * int(roots[k]) + 2**27) // 2**28
        h = (side * int(inverses[k]) + 2**27) // 2**28
        if 0 < w <= width and 0 < h <= height:
            return (down * (height - h + 1) // 2**32, right * (width - w + 1) // 2**32, h, w)
    low, high = (round(ratio * 2**24) for ratio in crop.aspect)
    h, w = height, width
    if width * 2**24 < low * height:
        h = min(height, max(1, (width * 2**24 + low // 2) // low))
    elif width * 2**24 > high * height:
        w = min(width, max(1, (height * high + 2**23) // 2**24))
    return ((height - h) // 2, (width - w) // 2, h, w)


def test_the_test_vectors_of_the_documentation() -> None:
    hashes = np.array([0, 1, 0x0123456789ABCDEF, 2**64 - 1], np.uint64)
    assert rows(RandomResizedCrop(224).boxes(Draws(7, 3, hashes), 256, 256)) == VECTORS_256
    assert rows(RandomResizedCrop(224).boxes(Draws(7, 3, hashes), 375, 500)) == VECTORS_375
    assert (
        rows(RandomResizedCrop(224).boxes(Draws(7, 3, hashes), 20, 500)) == [(0, 236, 20, 27)] * 4
    )


@given(
    sizes=st.lists(st.tuples(st.integers(1, 700), st.integers(1, 700)), min_size=1, max_size=30),
    area=st.sampled_from([(0.08, 1.0), (0.5, 0.5), (0.0001, 0.01), (1.0, 1.0)]),
    aspect=st.sampled_from([(3 / 4, 4 / 3), (1.0, 1.0), (0.2, 0.3), (2.0, 3.0)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_boxes_are_what_the_rule_says_whoever_is_drawn_beside_them(
    sizes: list[tuple[int, int]], area: Any, aspect: Any, seed: int
) -> None:
    crop = RandomResizedCrop(8, area, aspect)
    hashes = keys(len(sizes), seed)
    high, wide = (np.array(side, np.int64) for side in zip(*sizes, strict=True))
    boxes = rows(crop.boxes(Draws(seed, 5, hashes), high, wide))
    for box, (height, width), key in zip(boxes, sizes, hashes, strict=True):
        assert box == plainly(crop, Draws(seed, 5, np.array([key])), height, width)
        assert 0 <= box[0] <= height - box[2] and 0 <= box[1] <= width - box[3]
        assert box[2] > 0 and box[3] > 0


def test_areas_and_shapes_are_spread_as_the_rule_means_them() -> None:
    """On images so large that nearly every box fits in the first try, and rounding is nothing."""
    crop = RandomResizedCrop(224, (0.1, 0.5))
    boxes = crop.boxes(Draws(0, 0, keys(20_000)), 200_000, 200_000)
    area = boxes.height * boxes.width / 200_000**2
    shape = np.log(boxes.width / boxes.height) / np.log(4 / 3)
    for values, least, most in ((area, 0.1, 0.5), (shape, -1.0, 1.0)):
        counts = np.histogram(values, 20, (least - 1e-6, most + 1e-6))[0]
        assert counts.sum() == 20_000 and ((counts - 1000) ** 2 / 1000).sum() < 60
    assert abs(np.corrcoef(area, shape)[0, 1]) < 0.03


def test_boxes_agree_with_torchvisions_in_their_spread() -> None:
    """Against the rule in floating point, drawn by NumPy: the same means to three deviations."""
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(20_000):
        for _ in range(10):
            area = 256 * 256 * random.uniform(0.08, 1.0)
            ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
            w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if 0 < w <= 256 and 0 < h <= 256:
                drawn.append((random.integers(0, 257 - h), random.integers(0, 257 - w), h, w))
                break
        else:
            drawn.append((0, 0, 256, 256))
    peers = np.array(drawn)
    ours = np.array(rows(RandomResizedCrop(224).boxes(Draws(1, 2, keys(20_000)), 256, 256)))
    error = np.sqrt((ours.var(0) + peers.var(0)) / 20_000)
    assert (np.abs(ours.mean(0) - peers.mean(0)) < 4 * error).all()
    assert np.allclose(ours.std(0), peers.std(0), rtol=0.03)


def test_tables_are_the_square_roots_that_they_should_be() -> None:
    roots, inverses = random_resized_crop.tables((3 / 4, 4 / 3))
    ratio = 0.75 * (16 / 9) ** (np.arange(4097) / 4096)
    assert np.abs(roots - np.sqrt(ratio) * 65536).max() <= 0.5001
    assert np.abs(inverses - 65536 / np.sqrt(ratio)).max() <= 0.5001


@given(root=st.integers(0, 2**31 - 1), rest=st.integers(-1, 1))
def test_integer_roots_are_exact(root: int, rest: int) -> None:
    value = max(0, root * root + rest)
    assert int(random_resized_crop._isqrt(np.array([value]))[0]) == isqrt(value)


def test_a_box_of_a_mirrored_image_lies_where_it_is_seen() -> None:
    both = np.array([True, False])
    boxes = Boxes(*(np.array([n, n]) for n in (1, 2, 3, 4)))
    views = Views((10, 20)).flipped(both).resized(boxes, (5, 5))
    assert views.left is not None and views.left.tolist() == [14, 2] and views.size == (5, 5)
    with pytest.raises(UsageError, match="cropped twice"):
        views.resized(boxes, (5, 5))


@pytest.mark.parametrize(
    "arguments",
    [
        (0,),
        *(
            (8, area)
            for area in [(0.0, 1.0), (0.5, 0.1), (0.5, 1.5), 0.5, ("a", "b"), (True, True)]
        ),
        *((8, (0.1, 1.0), aspect) for aspect in [(0.0, 1.0), (2.0, 1.0), (1.0, float("nan"))]),
    ],
)
def test_nonsense_is_refused(arguments: Any) -> None:
    with pytest.raises(UsageError, match=r"RandomResizedCrop: bad (size|area|aspect)"):
        RandomResizedCrop(*arguments)


def test_lists_and_arrays_are_taken_as_tuples_are() -> None:
    plain = RandomResizedCrop((8, 6), (0.5, 1.0), (1.0, 2.0))
    given: Any
    for given in ([[8, 6], [0.5, 1], [1, 2]], [np.array(x) for x in ([8, 6], [0.5, 1], [1, 2])]):
        found = RandomResizedCrop(*given)
        assert found == plain and hash(found) == hash(plain)
