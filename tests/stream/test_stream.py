"""A stream's batches, and promises 1 to 3 of it."""

from __future__ import annotations

import gc
import json
import os
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dsets
from dsets.pack import Pack
from dsets.stream import Batch, Key, Order, Stream, batches
from dsets.transforms import Flip, Normalise, PadCrop
from tests.stream.streams import ours, stream_of

MakePack = Callable[..., Pack]
N = 37

property_test = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def content(batch: Batch) -> tuple[Any, ...]:
    """Everything of a batch, to compare."""
    arrays = [batch[name] for name in ("image", "label", "weight")]
    captions = [bytes(caption) for caption in batch["caption"]]
    arrays += [batch.index, batch.valid]
    return (batch.epoch, batch.position, captions, *[array.tobytes() for array in arrays])


@pytest.mark.parametrize("shards", [1, 3, 37])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_batches_hold_the_packs_samples(make_pack: MakePack, shards: int, layout: str) -> None:
    pack = make_pack(N, shards, layout=layout)
    for batch in batches(pack, 8):
        assert list(batch) == ["image", "label", "weight", "caption"] and len(batch) == 4
        assert batch["image"].dtype == np.uint8 and batch["image"].shape[1:] == (8, 8, 3)
        for row, number in enumerate(batch.index):
            sample = pack[int(number)]
            for name in batch:
                assert np.array_equal(batch[name][row], sample[name]), name


def test_without_shuffle_the_samples_come_as_they_stand(make_pack: MakePack) -> None:
    stream = batches(make_pack(N), 8, shuffle=False)
    for _ in range(2):
        assert np.concatenate([batch.index for batch in stream]).tolist() == list(range(N))


def test_five_lines_are_enough(make_pack: MakePack) -> None:
    seen = 0
    for batch in dsets.stream.batches(make_pack(N), batch_size=10, seed=0):
        seen += len(batch["label"])
    assert seen == N


def test_promise_1_an_epoch_is_a_pure_function_of_samples_seed_and_epoch(
    make_pack: MakePack,
) -> None:
    def epochs(seed: int, shards: int, threads: int) -> list[list[int]]:
        stream = stream_of(make_pack(N, shards), 5, seed=seed, threads=threads)
        return [np.concatenate([b.index for b in stream]).tolist() for _ in range(3)]

    first = epochs(seed=0, shards=3, threads=1)
    assert first == epochs(seed=0, shards=1, threads=4)
    assert first != epochs(seed=1, shards=3, threads=1)
    assert all(sorted(epoch) == list(range(N)) for epoch in first)
    assert len({tuple(epoch) for epoch in first}) == 3
    order = Order(N, Key(make_pack(N).samples_digest, 0, True), 5)
    assert first[2] == order.samples(2, np.arange(N)).tolist()


@pytest.mark.parametrize("rank", [(0, 1), (1, 3)])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_promise_2_resumed_at_every_step_the_rest_is_the_same(
    make_pack: MakePack, rank: tuple[int, int], drop_last: bool, threads: int
) -> None:
    pack = make_pack(N)
    transform = [PadCrop(2), Flip(), Normalise.of(pack)]

    def new(threads: int) -> Stream:
        return stream_of(
            pack, 8, rank=rank, drop_last=drop_last, transform=transform, threads=threads
        )

    def two_epochs(stream: Stream) -> list[tuple[Any, ...]]:
        """What is left of epochs 0 and 1."""
        return [content(batch) for _ in range(2 - stream.epoch) for batch in stream]

    states, whole = [], []
    with new(threads) as stream:
        states.append(stream.state_dict())
        for _ in range(2):
            for batch in stream:
                whole.append(content(batch))
                states.append(stream.state_dict())
    assert len(whole) == 2 * len(stream)
    for step, state in enumerate(states):
        with new(4 - threads) as resumed:
            resumed.load_state_dict(json.loads(json.dumps(state)))
            assert two_epochs(resumed) == whole[step:], step


phases = st.lists(
    st.tuples(
        st.integers(1, 12),  # batch size
        st.sampled_from([1, 2, 3, 5, 8]),  # ranks
        st.integers(1, 3),  # threads
        st.integers(0, 4),  # batches before the run is stopped
    ),
    min_size=1,
    max_size=4,
)


@given(phases=phases, seed=st.integers(0, 2**32 - 1))
@property_test
def test_promise_2_each_sample_once_an_epoch_whatever_changes_between_stops(
    make_pack: MakePack, phases: list[tuple[int, int, int, int]], seed: int
) -> None:
    pack = make_pack(N)
    seen: Counter[int] = Counter()
    state: Mapping[str, Any] | None = None
    for batch_size, ranks, threads, steps in [*phases, (*phases[-1][:3], N)]:
        after = []
        for rank in range(ranks):
            with stream_of(
                pack, batch_size, rank=(rank, ranks), threads=threads, seed=seed
            ) as stream:
                if state is not None:
                    stream.load_state_dict(state)
                for _, batch in zip(range(steps), stream, strict=False):
                    seen.update(batch.index[batch.valid].tolist())
                    assert (batch["label"] == batch.index % 10).all()
                after.append(stream.state_dict())
        if any(each["epoch"] for each in after):  # a loop that ran to the end begins the next
            break
        assert all(each == after[0] for each in after)
        state = after[0]
    assert seen == Counter(range(N))


def test_promise_2_the_state_counts_what_was_delivered_not_what_was_made(
    make_pack: MakePack,
) -> None:
    made = threading.Semaphore(0)

    def count(batch: Batch) -> Batch:
        made.release()
        return batch

    with stream_of(make_pack(N), 4, threads=3, transform=[count]) as stream:
        for step, _ in enumerate(stream, start=1):
            if step == 2:
                four_made = [made.acquire(timeout=20) for _ in range(4)]
                assert all(four_made)  # and only two delivered
                assert (stream.epoch, stream.position) == (0, 8)
                assert stream.state_dict()["position"] == 8
                break


def test_a_state_at_the_end_of_an_epoch_still_belongs_to_it(make_pack: MakePack) -> None:
    stream = batches(make_pack(N), 8)
    states = [stream.state_dict() for _ in stream]
    assert (states[-1]["epoch"], states[-1]["position"]) == (0, N)
    assert (stream.epoch, stream.position) == (1, 0)
    stream.load_state_dict(states[-1])
    assert list(stream) == [] and stream.epoch == 1


def test_a_loop_left_at_its_last_batch_has_had_the_whole_epoch(make_pack: MakePack) -> None:
    one, other = batches(make_pack(N), 8), batches(make_pack(N), 8, seed=1)
    whole = len(one)
    assert [len(list(zip(one, other, strict=False))) for _ in range(4)] == [whole] * 4
    assert [sum(1 for _ in zip(range(whole), one, strict=False)) for _ in range(3)] == [whole] * 3
    for number, _ in enumerate(one):
        if number == whole - 1:
            break
    assert (one.epoch, one.position) == (8, 0)
    assert len(list(one)) == whole


def test_a_loop_left_early_goes_on_with_the_next_batch(make_pack: MakePack) -> None:
    stream = batches(make_pack(N), 5)
    seen: list[int] = []
    while stream.epoch == 0:
        for batch in stream:
            seen += batch.index.tolist()
            break
    assert sorted(seen) == list(range(N)) and len(stream) == 8


def test_two_loops_over_one_stream_share_its_position(make_pack: MakePack) -> None:
    stream = batches(make_pack(40), 5)
    pairs = [(a.position, b.position) for a, b in zip(stream, stream, strict=False)]
    assert pairs == [(0, 5), (10, 15), (20, 25), (30, 35)]
    stream.close()


@pytest.mark.parametrize("world", [2, 5, 64])
def test_promise_3_ranks_agree_in_batches_and_rows_and_share_out_every_sample(
    make_pack: MakePack, world: int
) -> None:
    pack = make_pack(N)
    shapes, seen = [], Counter[int]()
    for rank in range(world):
        stream = stream_of(pack, 10, rank=(rank, world), threads=1)
        taken = list(stream)
        assert len(taken) == len(stream) == 4
        shapes.append([batch["image"].shape for batch in taken])
        for batch in taken:
            assert batch.valid.dtype == bool and len(batch.valid) == len(batch["image"])
            seen.update(batch.index[batch.valid].tolist())
        stream.close()
    assert all(each == shapes[0] for each in shapes)
    assert seen == Counter(range(N))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_goes_on_with_threads_of_its_own(make_pack: MakePack) -> None:
    stream = stream_of(make_pack(N), 4, shuffle=False)
    iterator = iter(stream)
    next(iterator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of threads at fork
        child = os.fork()
    if child == 0:
        status = 1
        try:
            rest = np.concatenate([batch.index for batch in iterator])
            status = 0 if rest.tolist() == list(range(4, N)) else 2
        finally:
            os._exit(status)
    rest = np.concatenate([batch.index for batch in iterator])
    assert rest.tolist() == list(range(4, N))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_several_streams_of_one_pack_do_not_disturb_each_other(make_pack: MakePack) -> None:
    pack = make_pack(N)
    streams = [stream_of(pack, 4, seed=seed) for seed in range(3)]
    together = [[content(batch) for batch in row] for row in zip(*streams, strict=True)]
    for seed, stream in enumerate(streams):
        stream.close()
        with stream_of(pack, 4, seed=seed) as alone:
            assert [row[seed] for row in together] == [content(batch) for batch in alone]
    gc.collect()
    assert not ours()


def test_a_stream_of_one_sample_and_many_ranks_works(make_pack: MakePack) -> None:
    pack = make_pack(1, 1)
    for rank in range(3):
        (batch,) = stream_of(pack, 5, rank=(rank, 3))
        assert batch.valid.tolist() == [rank == 0] and batch["image"].shape[0] == 1
