from __future__ import annotations

import gc
import threading
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsets.stream import buffers
from dsets.stream.buffers import Pool, page_aligned

FLOAT = np.dtype(np.float32)


def lend(pool: Pool, value: float) -> np.ndarray:
    array = pool.lend((4, 8), FLOAT)
    array[...] = value
    return array


def churn(pool: Pool, times: int = 20) -> None:
    """What a loop does meanwhile: borrow, overwrite, give back."""
    for _ in range(times):
        lend(pool, -1)


@given(st.integers(1, 20_000))
def test_memory_starts_at_a_page_and_has_the_size_asked_for(size: int) -> None:
    memory = page_aligned(size)
    assert memory.ctypes.data % 4096 == 0 and memory.shape == (size,)
    memory[...] = 1


def test_a_plain_loop_uses_one_buffer_for_ever() -> None:
    pool = Pool(128, 1)
    where = {lend(pool, step).ctypes.data for step in range(100)}
    assert len(where) == 1 and pool.extra == 0 and pool.free == 1


def test_what_is_lent_is_writable_contiguous_and_not_shared() -> None:
    pool = Pool(128, 2)
    one, other = lend(pool, 1), lend(pool, 2)
    assert one.flags.writeable and one.flags.c_contiguous and not one.flags.owndata
    assert (one == 1).all() and (other == 2).all()


def keep_slice(array: np.ndarray) -> Any:
    return array[1:3, ::2]


def keep_view_of_a_view(array: np.ndarray) -> Any:
    return array.reshape(-1)[4:].view(np.float32)[2:][::2].T


def keep_memoryview(array: np.ndarray) -> Any:
    return memoryview(array)


def keep_iterator(array: np.ndarray) -> Any:
    return array.flat


def keep_dlpack(array: np.ndarray) -> Any:
    return np.from_dlpack(array)


def keep_tensor(array: np.ndarray) -> Any:
    return pytest.importorskip("torch").from_numpy(array)


def keep_tensor_view(array: np.ndarray) -> Any:
    return keep_tensor(array)[2:].t()


def keep_detached(array: np.ndarray) -> Any:
    return keep_tensor(array).detach()


def keep_torch_dlpack(array: np.ndarray) -> Any:
    return pytest.importorskip("torch").from_dlpack(array)


def keep_array_of_tensor(array: np.ndarray) -> Any:
    return keep_tensor(array)[1:].numpy()


KEEPERS = [
    keep_slice,
    keep_view_of_a_view,
    keep_memoryview,
    keep_iterator,
    keep_dlpack,
    keep_tensor,
    keep_tensor_view,
    keep_detached,
    keep_torch_dlpack,
    keep_array_of_tensor,
]


@pytest.mark.parametrize("keep", KEEPERS)
def test_promise_6_whatever_is_kept_of_a_buffer_stays_unchanged_until_dropped(keep: Any) -> None:
    pool = Pool(128, 1)
    kept = keep(lend(pool, 7))
    churn(pool)
    assert pool.extra > 0  # an empty pool allocates
    assert (np.asarray(kept) == 7).all()
    allocated = pool.extra
    del kept
    gc.collect()
    churn(pool)
    assert pool.extra - allocated == 0 and pool.free == 1


def test_promise_6_a_reference_cycle_gives_its_buffer_back_when_collected() -> None:
    pool = Pool(128, 1)
    gc.disable()
    try:
        cycle: list[Any] = [lend(pool, 5)]
        cycle.append(cycle)
        kept = cycle[0][1:]
        del cycle
        churn(pool)
        assert pool.free == 1  # one of those that the churn allocated
        assert (kept == 5).all()
        del kept
    finally:
        gc.enable()
    gc.collect()
    extra = pool.extra
    churn(pool)
    assert pool.extra == extra


@given(st.lists(st.integers(0, 9), max_size=60))
@settings(deadline=None)
def test_no_two_living_arrays_ever_share_memory(actions: list[int]) -> None:
    """Each action drops one of ten places and borrows anew for it."""
    pool = Pool(128, 3)
    places: dict[int, tuple[np.ndarray, int]] = {}
    for value, place in enumerate(actions):
        places.pop(place, None)
        places[place] = (lend(pool, value), value)
        assert all((array == expected).all() for array, expected in places.values())
        assert len({array.ctypes.data for array, _ in places.values()}) == len(places)
    places.clear()
    assert pool.free == 3 or not actions


def test_a_pool_keeps_no_more_than_its_count() -> None:
    pool = Pool(128, 2)
    kept = [lend(pool, step) for step in range(10)]
    assert pool.extra == 8 and pool.free == 0
    kept.clear()
    assert pool.free == 2


def test_arrays_may_be_dropped_in_any_thread() -> None:
    pool = Pool(128, 4)
    boxes = [[lend(pool, step)] for step in range(4)]
    threads = [threading.Thread(target=box.clear) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool.free == 4


def test_more_than_a_buffer_is_never_lent() -> None:
    with pytest.raises(ValueError, match="lends 128 bytes"):
        Pool(128, 1).lend((129,), np.dtype(np.uint8))


@pytest.mark.parametrize("shape", [(0,), (0, 4), ()])
def test_empty_and_scalar_shapes_are_lent_too(shape: tuple[int, ...]) -> None:
    assert Pool(128, 1).lend(shape, FLOAT).shape == shape


BYTES = np.dtype(np.uint8)


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> int:
    """A buffer of eight pages is made ready in eight pieces."""
    monkeypatch.setattr(buffers, "_PIECE", 4096)
    return 8


def test_a_first_buffer_is_lent_untouched_since_none_can_come_back(pieces: int) -> None:
    pool = Pool(pieces * 4096, 3)
    pool.lend((1,), BYTES)
    assert [pool.make_ready() for _ in range(pieces + 1)] == pieces * [True] + [False]


def test_who_has_nothing_else_to_do_makes_all_ready_but_one_that_may_never_be_needed(
    pieces: int,
) -> None:
    pool = Pool(pieces * 4096, 3)
    assert sum(pool.make_ready() for _ in range(100)) == 2 * pieces
    assert pool.free == 3
    kept = [pool.lend((pieces * 4096,), BYTES) for _ in range(3)]
    assert len({array.ctypes.data for array in kept}) == 3 and pool.extra == 0


def test_what_comes_back_is_lent_rather_than_what_is_fresh(pieces: int) -> None:
    pool = Pool(pieces * 4096, 3)
    first = pool.lend((1,), BYTES)
    where, boxes = first.ctypes.data, [first]
    del first
    turns = 0

    def before() -> int:
        nonlocal turns
        turns += 1
        if turns == 3:
            boxes.clear()  # the consumer gives it back
        return 0

    assert pool.lend((1,), BYTES, before).ctypes.data == where
    assert turns < pieces and pool.extra == 0


def test_what_comes_back_is_left_for_those_that_are_to_have_theirs_first(pieces: int) -> None:
    pool = Pool(pieces * 4096, 4)
    kept, back = pool.lend((1,), BYTES), pool.lend((1,), BYTES)
    where = back.ctypes.data
    del back
    later = pool.lend((1,), BYTES, lambda: 1)
    assert later.ctypes.data not in (where, kept.ctypes.data)
    assert pool.lend((1,), BYTES).ctypes.data == where and pool.extra == 0


def test_without_fresh_ones_nobody_waits_for_those_before(pieces: int) -> None:
    pool = Pool(pieces * 4096, 1)
    pool.lend((1,), BYTES)
    assert pool.lend((1,), BYTES, lambda: 5) is not None and pool.extra == 0


def test_an_interrupt_while_a_piece_is_touched_loses_nothing(pieces: int) -> None:
    class Interrupted(np.ndarray):
        def __setitem__(self, key: Any, value: Any) -> None:
            raise KeyboardInterrupt

    pool = Pool(pieces * 4096, 3, lambda size: page_aligned(size).view(Interrupted))
    kept = [pool.lend((1,), BYTES)]
    for _ in range(pieces):
        with pytest.raises(KeyboardInterrupt):
            pool.make_ready()
    kept.append(pool.lend((1,), BYTES))
    assert pool.extra == 0


def test_a_piece_that_is_never_done_costs_a_buffer_and_no_hang(
    pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "_LONG_S", 0.01)
    pool = Pool(pieces * 4096, 2)
    kept = [pool.lend((1,), BYTES)]
    monkeypatch.setattr(Pool, "_touch", lambda *given: None)  # as if it never came to that
    kept.append(pool.lend((1,), BYTES))
    assert pool.extra == 1


def test_in_a_forked_child_what_the_parent_was_touching_is_touched_anew(pieces: int) -> None:
    pool = Pool(pieces * 4096, 3)
    kept = [pool.lend((1,), BYTES)]
    with pool._changed:  # as another thread of the parent may have it
        assert pool._begin() is not None
        pool.renew()
    kept += [pool.lend((1,), BYTES), pool.lend((1,), BYTES)]
    assert pool.extra == 0 and len({array.ctypes.data for array in kept}) == 3


def test_what_is_lent_is_touched_by_nobody_while_others_are_made_ready(pieces: int) -> None:
    for _ in range(20):
        pool, wrong = Pool(pieces * 4096, 4), list[int]()
        work = partial(_lend_and_look, pool, pieces * 4096, wrong)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            pool.make_ready()
        for thread in threads:
            thread.join()
        assert not wrong and pool.extra == 0 and pool.free == 4


def _lend_and_look(pool: Pool, size: int, wrong: list[int], number: int) -> None:
    for step in range(30):
        array = pool.lend((size,), BYTES, partial(step.__mod__, 2))
        array[...] = number
        pool.make_ready()
        if not (array == number).all():
            wrong.append(number)
