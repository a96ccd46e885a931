"""Statistics of the rows that were made, whoever made them, in whatever order and parts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dsets.pack import Statistics
from dsets.prepare import counting
from dsets.prepare.counting import Counting


@pytest.fixture
def column() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (40, 6, 5, 3), np.uint8)


@pytest.mark.parametrize("enough", [1, 400, 1 << 24])
def test_every_row_counts_once_but_those_of_bad_samples(
    column: np.ndarray, enough: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "COUNTED_BYTES", enough)
    found = Counting(column, "image")
    groups = [range(8, 16), [16, 18, 19, 23], [], range(8), range(24, 40)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(found.add, groups))
    rows = sorted(row for group in groups for row in group)
    rest = found.rest()
    assert rest is not None
    assert rest.digest == Statistics.of(column[rows], "image").digest
    assert rest.field == "image"


def test_what_is_large_enough_is_counted_before_its_shard_ends(
    column: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "COUNTED_BYTES", column[:10].nbytes)
    found = Counting(column, "image")
    expected = Statistics.of(column, "image")
    found.add(range(5))
    found.add(range(5, 40))
    column[:] = 0  # nothing is read again
    rest = found.rest()
    assert rest is not None
    assert rest.digest == expected.digest


def test_images_of_any_sizes_and_of_no_column_count_too() -> None:
    images = [np.full((n + 1, 3, 3), n, np.uint8) for n in range(4)]
    listed, told = Counting(images, "image"), Counting([], "image")
    listed.add([0, 1, 3])
    told.count(images[:2])
    told.count([])
    told.count(images[3:])
    expected = Statistics.of([images[0], images[1], images[3]], "image").digest
    assert [one.digest for one in (listed.rest(), told.rest()) if one] == [expected] * 2


def test_no_rows_have_no_statistics() -> None:
    assert Counting([], "image").rest() is None
