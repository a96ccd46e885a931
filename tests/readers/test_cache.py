"""Decoded data is kept, but never more than allowed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dsets.readers._cache import Cache


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60), st.booleans())))
def test_the_cache_is_a_dictionary_of_the_values_used_last(
    steps: list[tuple[int, int, bool]],
) -> None:
    cache = Cache(limit=100)
    used: dict[int, int] = {}  # key → size, the one used longest ago first
    for key, size, put in steps:
        if put:
            cache.put(key, (key, size), size)
            used.pop(key, None)
            used[key] = size
            while sum(used.values()) > 100:
                used.pop(next(iter(used)))
        elif key in used:
            assert cache.get(key) == (key, used[key])
            used[key] = used.pop(key)
        else:
            assert cache.get(key) is None
        assert cache.bytes == sum(used.values()) <= 100


def test_a_value_larger_than_the_cache_is_not_kept() -> None:
    cache = Cache(limit=100)
    cache.put("a", 1, 101)
    assert cache.get("a") is None and cache.bytes == 0
