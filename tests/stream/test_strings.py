"""The extension's rows of bytes of different lengths: their values and CRC-32C, bounds checked."""

from __future__ import annotations

from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets import extension

pytestmark = pytest.mark.skipif(not extension.checksum, reason="no extension, or no CRC-32C in it")


def strings(shards: list[list[bytes]]) -> Any:
    values = [np.frombuffer(b"".join(rows), np.uint8) for rows in shards]
    bounds = [np.cumsum([0, *map(len, rows)]).astype(np.uint64) for rows in shards]
    return extension.native.strings(values, bounds)


def sums(rows: Any, index: npt.NDArray[np.int64]) -> tuple[int, list[int]]:
    found = np.full(len(index), 7, np.uint32)
    return extension.native.string_checksums(rows, index, found), found.tolist()


@given(
    st.lists(st.lists(st.binary(max_size=3 * 4096 + 9), max_size=5), min_size=1, max_size=4),
    st.data(),
)
def test_rows_of_all_shards_by_number(shards: list[list[bytes]], data: st.DataObject) -> None:
    rows = [row for shard in shards for row in shard]
    drawn = st.lists(st.integers(0, len(rows) - 1), max_size=9) if rows else st.just([])
    index = np.array(data.draw(drawn), np.int64)
    wanted = [rows[number] for number in index]
    made = strings(shards)
    assert extension.native.string_values(made, index) == wanted
    assert sums(made, index) == (0, [google_crc32c.value(row) for row in wanted])


def test_rows_whose_bounds_lead_outside_are_told() -> None:
    data = np.frombuffer(b"abcdef", np.uint8)
    bounds = np.array([0, 2, 1, 9, 3, 2**64 - 1, 6], np.uint64)
    made = extension.native.strings([data], [bounds])
    index = np.array([-1, 0, 1, 2, 3, 4, 5, 6], np.int64)
    values = extension.native.string_values(made, index)
    assert values == [None, b"ab", None, None, None, None, None, None]
    outside, found = sums(made, index)
    assert outside == 7 and found[1] == google_crc32c.value(b"ab")


@pytest.mark.parametrize("what", ["string_values", "string_checksums"])
def test_arguments_that_do_not_fit_are_refused(what: str) -> None:
    call, made = getattr(extension.native, what), strings([[b"a", b"b"]])
    more = [np.zeros(2, np.uint32)] if what == "string_checksums" else []
    good = np.array([0, 1], np.int64)
    call(made, good, *more)
    with pytest.raises(ValueError, match=what):
        call(object(), good, *more)
    with pytest.raises(ValueError, match=what):
        call(made, np.zeros(9, np.uint8), *more)
    if more:
        with pytest.raises(ValueError, match=what):
            call(made, good, np.zeros(3, np.uint32))
