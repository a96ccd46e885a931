"""Records grouped by sample, whatever lies on disk in between."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dsets.readers import _grouped
from dsets.readers._grouped import Grouped


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**31 - 1)), max_size=60),
    st.integers(1, 4),
)
def test_records_come_out_in_the_samples_order_and_keep_their_own(
    pairs: list[tuple[int, int]], parts: int
) -> None:
    dtype = np.dtype([("row", "<i4"), ("value", "<i8", (2,))])
    grouped = Grouped(dtype, 10, 7 * _grouped.BUCKET_BYTES, None)
    records = np.array([(row, (value, value)) for row, value in pairs], dtype)
    for some in np.array_split(records, parts):
        grouped.add(some)
    ends, columns = grouped.finish()
    expected = sorted(pairs, key=lambda pair: pair[0])  # stable
    assert columns["value"][:, 0].tolist() == [value for _, value in expected]
    assert np.diff(ends, prepend=0).tolist() == [sum(r == i for r, _ in pairs) for i in range(10)]
