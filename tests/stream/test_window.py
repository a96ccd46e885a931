from __future__ import annotations

import json
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsets.errors import StreamError, UsageError
from dsets.stream import Key, Order, State, Window, batches
from dsets.stream.permutation import Permutation, mix, round_keys
from dsets.stream.state import dump, load

sizes = st.integers(1, 400)
windows = st.builds(Window, st.integers(1, 70), st.integers(1, 50))
worlds = st.integers(1, 64)
batch_sizes = st.integers(1, 90)
DIGEST = "0" * 64


def order(n: int, window: Window, batch_size: int = 1, rank: int = 0, ranks: int = 1) -> Order:
    return Order(n, Key(DIGEST, 3, window), batch_size, rank=rank, ranks=ranks)


def lane_range(n: int, lanes: int, lane: int) -> range:
    """The samples of a lane, counted the plain way."""
    counts = [len(range(one, n, lanes)) for one in range(lanes)]
    return range(sum(counts[:lane]), sum(counts[: lane + 1]))


@given(n=sizes, window=windows, epoch=st.integers(0, 9))
@settings(deadline=None)
def test_promise_7_each_sample_once_and_in_the_lane_of_its_position(
    n: int, window: Window, epoch: int
) -> None:
    samples = order(n, window).samples(epoch, np.arange(n))
    assert sorted(samples.tolist()) == list(range(n))
    for lane in range(min(window.lanes, n)):
        assert set(samples[lane :: window.lanes]) == set(lane_range(n, window.lanes, lane))


@given(n=sizes, window=windows, epoch=st.integers(0, 9))
@settings(deadline=None)
def test_promise_7_a_window_is_of_neighbouring_samples(n: int, window: Window, epoch: int) -> None:
    samples = order(n, window).samples(epoch, np.arange(n))
    for lane in range(min(window.lanes, n)):
        mine = samples[lane :: window.lanes]
        size, low = len(mine), int(mine.min())
        for start in range(0, size, window.window):
            part = mine[start : start + window.window] - low
            # the arc that holds them is as long as they are many: on the ring of the lane
            steps = np.diff(np.sort(part), append=np.min(part) + size)
            assert size - steps.max() + 1 == len(part)


@given(n=sizes, window=windows, at=st.integers(0, 400), epoch=st.integers(0, 9))
@settings(deadline=None)
def test_promise_7_a_position_alone_gives_what_it_gives_among_others(
    n: int, window: Window, at: int, epoch: int
) -> None:
    one = order(n, window)
    position = at % n
    alone = one.samples(epoch, np.array([position]))
    assert alone[0] == one.samples(epoch, np.arange(n))[position]


@given(n=sizes, window=windows, batch_size=batch_sizes, ranks=worlds)
@settings(deadline=None, max_examples=60)
def test_promises_1_and_3_the_ranks_shares_are_the_global_batch_in_equal_rows(
    n: int, window: Window, batch_size: int, ranks: int
) -> None:
    orders = [order(n, window, batch_size, rank, ranks) for rank in range(ranks)]
    for start in islice(orders[0].walk(State()), len(orders[0])):
        parts = [one.rows(start.position) for one in orders]
        here = min(batch_size, n - start.position)
        assert {len(part.positions) for part in parts} == {-(-here // ranks)}
        valid = np.concatenate([part.positions[part.valid] for part in parts])
        assert sorted(valid) == list(range(start.position, start.position + here))
        assert all(((part.positions >= 0) & (part.positions < n)).all() for part in parts)


@given(
    n=sizes,
    window=windows,
    phases=st.lists(st.tuples(batch_sizes, worlds, st.integers(0, 5)), max_size=5),
)
@settings(deadline=None, max_examples=60)
def test_promise_2_stops_and_changes_of_size_lose_and_repeat_nothing(
    n: int, window: Window, phases: list[tuple[int, int, int]]
) -> None:
    seen: list[int] = []
    state = State()
    for batch_size, ranks, steps in [*phases, (7, 3, n)]:
        orders = [order(n, window, batch_size, rank, ranks) for rank in range(ranks)]
        starts = islice(orders[0].walk(state), min(steps, len(orders[0])))
        for start in [one.position for one in starts if one.epoch == 0]:
            for one in orders:
                rows = one.rows(start)
                seen += one.samples(0, rows.positions[rows.valid]).tolist()
            state = State(0, orders[0].after(start))
        if orders[0].over(state.position):
            break
    assert sorted(seen) == list(range(n))


@pytest.mark.parametrize(("ranks", "batch_size"), [(1, 64), (4, 64), (8, 256), (16, 1024), (4, 96)])
def test_promise_7_ranks_keep_to_their_lanes(ranks: int, batch_size: int) -> None:
    """Wherever batches hold every lane equally often: nobody reads another's range."""
    window = Window(32, 16)
    for rank in range(ranks):
        one = order(32 * 96, window, batch_size, rank, ranks)
        for start in islice(one.walk(State()), len(one)):
            rows = one.rows(start.position)
            lanes = rows.positions % 32
            assert set(lanes * ranks // 32) == {rank}


def test_promise_7_a_rank_stays_near_its_lanes_where_batches_do_not_fit_them() -> None:
    own = 0
    for rank in range(8):
        one = order(64 * 100, Window(64, 10), 100, rank, 8)
        for start in islice(one.walk(State()), len(one)):
            rows = one.rows(start.position)
            own += int((rows.positions[rows.valid] % 64 * 8 // 64 == rank).sum())
    assert own > 0.8 * 6400


def test_promise_7_the_test_vectors_hold_for_ever() -> None:
    keys = round_keys(DIGEST, 0, 0)
    assert Window(3, 4).samples(14, keys, np.arange(14)).tolist() == VECTOR
    far = Window(64, 1024).samples(2**40 - 1, keys, np.array([0, 1, 2**39]))
    assert far.tolist() == FAR


VECTOR = [3, 7, 12, 4, 5, 11, 2, 9, 13, 1, 8, 10, 0, 6]
FAR = [16575558967, 30565752533, 7985624447]


def test_promise_7_windows_of_one_epoch_and_epochs_of_one_window_differ() -> None:
    one = order(2048, Window(2, 256))
    first, second = (one.samples(epoch, np.arange(2048)) for epoch in (0, 1))
    assert np.count_nonzero(first == second) < 40
    rows = [first[0::2][at : at + 256] for at in (256, 512)]
    assert np.count_nonzero(rows[0] - rows[0].min() == rows[1] - rows[1].min()) < 12


@pytest.mark.parametrize("n", [10, 97, 128])
def test_in_tweaked_permutations_every_sample_is_as_likely_at_every_place(n: int) -> None:
    many = 40 * n
    tweaks = mix(np.arange(many, dtype=np.uint64))
    positions = np.tile(np.arange(n), many)
    found = Permutation(n, round_keys(DIGEST, 1, 1))(positions, np.repeat(tweaks, n))
    assert (np.sort(found.reshape(many, n), axis=1) == np.arange(n)).all()
    counts = np.zeros((n, n))
    np.add.at(counts, (positions, found), 1)
    freedoms = (n - 1) ** 2
    assert abs(((counts - 40) ** 2 / 40).sum() - freedoms) < 5 * (2 * freedoms) ** 0.5


def test_promise_7_lanes_and_window_are_part_of_the_key() -> None:
    key = Key(DIGEST, 3, Window(8, 16))
    saved = json.loads(json.dumps(dump(key, State(1, 5))))
    assert load(saved, key, 100) == State(1, 5)
    others: list[Any] = [Window(8, 17), Window(9, 16), True, False]
    for other in others:
        with pytest.raises(StreamError, match="kind of order"):
            load(saved, Key(DIGEST, 3, other), 100)
        with pytest.raises(StreamError, match="kind of order"):
            load(dump(Key(DIGEST, 3, other), State()), key, 100)


def test_promise_7_a_stream_goes_on_in_window_order_with_other_ranks(make_pack: Any) -> None:
    pack = make_pack(50)
    window = Window(4, 5)
    stream = batches(pack, 8, seed=1, shuffle=window)
    seen = [stream.__iter__().__next__().index for _ in range(2)]
    saved = stream.state_dict()
    stream.close()
    for rank in range(3):
        with batches(pack, 9, seed=1, shuffle=window, rank=(rank, 3)) as other:
            other.load_state_dict(saved)
            seen += [batch.index[batch.valid] for batch in other]
    assert sorted(np.concatenate(seen).tolist()) == list(range(50))


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, None, 2**31])
def test_nonsense_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(UsageError, match="lanes"):
        Window(lanes=bad)
    with pytest.raises(UsageError, match="window"):
        Window(window=bad)
