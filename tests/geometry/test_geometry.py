"""Geometry against brute force: pixels that are painted, moved and looked at again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets.geometry import boxes, keypoints, masks, polygons

SIZE = (9, 12)
spans = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted)
box = st.tuples(spans, st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted)).map(
    lambda pair: [pair[0][0], pair[1][0], pair[0][1], pair[1][1]]
)
window = st.tuples(st.integers(-3, 8), st.integers(-3, 11), st.integers(1, 10), st.integers(1, 12))


def painted(corners: Any, size: tuple[int, int] = SIZE) -> np.ndarray[Any, Any]:
    xmin, ymin, xmax, ymax = map(int, corners)
    image = np.zeros(size, np.uint8)
    image[ymin:ymax, xmin:xmax] = 1
    return image


@given(box, window)
def test_a_cropped_box_covers_the_pixels_that_are_left(corners: Any, at: Any) -> None:
    (found,) = boxes.cropped(np.array([corners], np.float32), at)
    top, left, height, width = at
    image = painted(corners)
    expected = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            if 0 <= y + top < SIZE[0] and 0 <= x + left < SIZE[1]:
                expected[y, x] = image[y + top, x + left]
    assert np.array_equal(masks.cropped(image, at), expected)
    assert boxes.areas(found[None])[0] == expected.sum()
    assert np.array_equal(painted(found, (height, width)), expected)


@given(box)
def test_a_mirrored_box_covers_the_mirrored_pixels(corners: Any) -> None:
    (found,) = boxes.mirrored(np.array([corners], np.float32), SIZE[1])
    expected = painted(corners)[:, ::-1]
    assert np.array_equal(painted(found), expected)
    assert np.array_equal(masks.mirrored(painted(corners)), expected)


@given(box, st.integers(1, 4), st.integers(1, 4))
def test_a_box_grows_with_its_image(corners: Any, down: int, across: int) -> None:
    new = (SIZE[0] * down, SIZE[1] * across)
    (found,) = boxes.resized(np.array([corners], np.float32), SIZE, new)
    expected = painted(corners).repeat(down, 0).repeat(across, 1)
    assert np.array_equal(painted(found, new), expected)
    assert np.array_equal(masks.resized(painted(corners), new), expected)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.integers(1, 20))
def test_a_resized_mask_shows_the_pixel_under_each_centre(h: int, w: int, H: int, W: int) -> None:
    mask = np.arange(h * w, dtype=np.uint8).reshape(h, w)
    found = masks.resized(mask, (H, W))
    for y in range(H):
        for x in range(W):
            assert found[y, x] == mask[int((y + 0.5) * h / H), int((x + 0.5) * w / W)]


def test_keypoints_change_sides_in_the_mirror_and_vanish_outside() -> None:
    points = np.zeros((1, 17, 3), np.float32)
    points[0, 1] = (2, 3, 2)  # left eye
    points[0, 16] = (10, 8, 1)  # right ankle
    found = keypoints.mirrored(points, 12)
    assert found[0, 2].tolist() == [10, 3, 2] and found[0, 15].tolist() == [2, 8, 1]
    assert not found[0, [0, 1, 16]].any()
    assert np.array_equal(keypoints.mirrored(found, 12), points)
    seen = keypoints.cropped(points, (1, 1, 5, 5))
    assert seen[0, 1].tolist() == [1, 2, 2] and not seen[0, 16].any() and not seen[0, 0].any()
    assert keypoints.resized(points, (9, 12), (18, 6))[0, 1].tolist() == [1, 6, 2]


@given(window, st.integers(0, 2**32 - 1))
def test_a_cropped_convex_polygon_covers_what_is_left(at: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 7))
    polygon = np.stack([6 + 5 * np.cos(angles), 4 + 4 * np.sin(angles)], 1)
    found = polygons.cropped(polygon, at)
    top, left, height, width = at
    y, x = np.mgrid[0:height:40j, 0:width:40j]
    points = np.stack([x.ravel() + 1e-3, y.ravel() + 1e-3], 1)
    points = points[(points < [width, height]).all(1)]
    expected = inside(polygon, points + np.array([left, top]))
    assert (inside(found, points) != expected).mean() < 0.02
    assert polygons.area(found) <= polygons.area(polygon) + 1e-9


def inside(polygon: np.ndarray[Any, Any], points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """By the crossing number of a ray to the right."""
    crossings = np.zeros(len(points), int)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        if y0 != y1:
            between = (points[:, 1] >= min(y0, y1)) & (points[:, 1] < max(y0, y1))
            crossings += between & (points[:, 0] < x0 + (points[:, 1] - y0) * (x1 - x0) / (y1 - y0))
    return crossings % 2 == 1


def test_a_polygon_keeps_its_area_in_the_mirror() -> None:
    triangle = np.array([[1, 1], [5, 1], [1, 4]], np.float64)
    found = polygons.mirrored(triangle, 12)
    assert polygons.area(found) == polygons.area(triangle) == 6
    assert sorted(found.tolist()) == [[7, 1], [11, 1], [11, 4]]
    assert polygons.resized(triangle, (10, 10), (20, 10)).tolist()[2] == [1, 8]


@pytest.mark.parametrize("at", [(0, 0, 1, 1), (20, 20, 3, 3)])
def test_a_polygon_outside_has_no_corner(at: Any) -> None:
    assert polygons.cropped(np.array([[4.0, 4], [6, 4], [5, 7]]), at).shape == (0, 2)
