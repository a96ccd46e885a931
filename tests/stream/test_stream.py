from __future__ import annotations

import gc
import hashlib
import json
import os
import threading
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dsets
from dsets.errors import StreamError, UsageError
from dsets.pack import Pack
from dsets.stream import Batch, Key, Options, Order, Stream, batches
from dsets.transforms import CentreCrop, Crop, Flip, Normalise, PadCrop, specification
from dsets.transforms.random import Draws
from dsets.transforms.recipe import Recipe

MakePack = Callable[..., Pack]
N = 37

property_test = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def stream_of(pack: Pack, batch_size: int, *, threads: int = 2, **rest: Any) -> Stream:
    transform = rest.pop("transform", ())
    rank = rest.pop("rank", (0, 1))
    key = Key(pack.samples_digest, rest.pop("seed", 0), rest.pop("shuffle", True))
    order = Order(len(pack), key, batch_size, rest.pop("drop_last", False), *rank)
    return Stream(pack, order, transform, options=Options(threads=threads), **rest)


def ours() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("dsets-stream-")]


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


@given(
    batch_size=st.integers(1, 20),
    ranks=st.integers(1, 4),
    threads=st.integers(1, 3),
    epoch=st.integers(0, 2),
    order=st.one_of(st.permutations([PadCrop(3), Flip()]), st.permutations([Crop((5, 3)), Flip()])),
)
@property_test
def test_promise_4_random_choices_depend_on_seed_epoch_and_sample_only(
    make_pack: MakePack,
    batch_size: int,
    ranks: int,
    threads: int,
    epoch: int,
    order: list[Any],
) -> None:
    pack = make_pack(N, 2)
    state = {"epoch": epoch, "position": 0}

    def shown(batch_size: int, ranks: int, threads: int) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for rank in range(ranks):
            stream = stream_of(
                pack, batch_size, rank=(rank, ranks), threads=threads, transform=order, seed=9
            )
            with stream:
                stream.load_state_dict(stream.state_dict() | state)
                for batch in stream:
                    for number, image in zip(batch.index, batch["image"], strict=True):
                        assert found.setdefault(int(number), image.tobytes()) == image.tobytes()
        return found

    assert shown(batch_size, ranks, threads) == shown(N, 1, 1)


@pytest.mark.parametrize("crop", [PadCrop(3), Crop((4, 7)), CentreCrop((4, 7))])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_promise_4_a_sample_is_shown_as_its_key_says(
    make_pack: MakePack, layout: str, crop: Any
) -> None:
    """From keys to pixels and floats, by the specification."""
    pack = make_pack(N, 3, (6, 9, 3), layout)
    normal = Normalise.of(pack)
    stream = stream_of(pack, 8, seed=5, transform=[Flip(), crop, normal])
    for epoch in range(2):
        for batch in stream:
            keys = pack.keys(batch.index.tolist())
            digests = [hashlib.sha256(key.encode()).digest()[:8] for key in keys]
            hashes = np.array([int.from_bytes(digest, "little") for digest in digests], np.uint64)
            views = Recipe((Flip(), crop)).choose((6, 9), Draws(5, epoch, hashes))
            assert views.top is not None and views.left is not None
            assert views.mirrored is not None
            for row, number in enumerate(batch.index.tolist()):
                view = int(views.top[row]), int(views.left[row]), bool(views.mirrored[row])
                shown = specification.window(pack[number]["image"], *view, views.size)
                expected = specification.normalise(shown, normal)
                assert np.array_equal(batch["image"][row], expected)
    stream.close()


def test_promise_4_another_epoch_or_seed_chooses_anew(make_pack: MakePack) -> None:
    pack = make_pack(N)

    def images(seed: int) -> list[bytes]:
        stream = batches(pack, N, seed=seed, transform=[PadCrop(3), Flip()])
        epochs = [batch for _ in range(2) for batch in stream]
        return [batch["image"][np.argsort(batch.index)].tobytes() for batch in epochs]

    assert len({*images(0), *images(1)}) == 4


def consumer_breaks(stream: Stream) -> None:
    for _ in stream:
        break


def consumer_fails(stream: Stream) -> None:
    with pytest.raises(ZeroDivisionError):
        for _ in stream:
            raise ZeroDivisionError


def consumer_closes_within_its_loop(stream: Stream) -> None:
    with pytest.raises(StreamError, match="closed"):
        for _ in stream:
            stream.close()


def consumer_leaves_the_block(stream: Stream) -> None:
    with stream:
        next(iter(stream))


def consumer_loads_a_state(stream: Stream) -> None:
    iterator = iter(stream)
    next(iterator)
    stream.load_state_dict(stream.state_dict())


@pytest.mark.parametrize(
    "consume",
    [
        consumer_breaks,
        consumer_fails,
        consumer_closes_within_its_loop,
        consumer_leaves_the_block,
        consumer_loads_a_state,
    ],
)
def test_promise_6_a_consumer_that_stops_leaves_no_thread(
    make_pack: MakePack, consume: Callable[[Stream], None]
) -> None:
    stream = stream_of(make_pack(N), 4, threads=3)
    consume(stream)
    assert not ours()
    stream.close()
    stream.close()


def test_promise_6_a_dropped_stream_leaves_no_thread(make_pack: MakePack) -> None:
    stream = batches(make_pack(N), 4)
    assert len(list(stream)) == 10
    assert ours()  # already at work for the next epoch
    gone = weakref.ref(stream)
    del stream
    assert gone() is None and not ours()


def test_promise_6_a_plain_loop_never_allocates(make_pack: MakePack) -> None:
    stream = stream_of(make_pack(N), 4, threads=3, transform=[PadCrop(1)])
    for _ in range(20):
        for batch in stream:
            assert batch["image"].shape[1:] == (8, 8, 3)
    assert {name: pool.extra for name, pool in stream._assembly.pools.items()} == {
        "image": 0,
        "label": 0,
        "weight": 0,
    }


@pytest.mark.parametrize("threads", [1, 2])
def test_two_threads_need_the_memory_of_four_batches(make_pack: MakePack, threads: int) -> None:
    stream = stream_of(make_pack(N), 4, threads=threads)
    for _ in range(5):
        for batch in stream:
            assert len(batch.index) > 0
    del batch
    stream.close()
    pool = stream._assembly.pools["image"]
    assert (pool.free, pool.extra) == (4, 0)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_promise_6_batches_may_be_kept(make_pack: MakePack, device: str | None) -> None:
    if device:
        pytest.importorskip("torch")
    pack = make_pack(N)
    stream = stream_of(pack, 4, device=device, transform=[PadCrop(1), Flip()])
    kept = [batch["image"][1:] for _ in range(3) for batch in stream]
    again = stream_of(pack, 4, transform=[PadCrop(1), Flip()])
    fresh = [batch["image"][1:].copy() for _ in range(3) for batch in again]
    assert all(np.array_equal(np.asarray(a), b) for a, b in zip(kept, fresh, strict=True))
    assert stream._assembly.pools["image"].extra > 0


def test_a_batch_may_be_changed_in_place(make_pack: MakePack) -> None:
    stream = batches(make_pack(N), 4)
    for _ in range(2):
        for batch in stream:
            assert (batch["label"] == batch.index % 10).all()
            batch["label"][...] = -1
            batch["image"][...] = 0


def test_functions_come_after_the_built_in_transforms_and_in_order(make_pack: MakePack) -> None:
    pack = make_pack(N)

    def shape(batch: Batch) -> Mapping[str, Any]:
        assert batch["image"].dtype == np.float32 and batch["image"].shape[1:] == (3, 8, 8)
        return {**batch, "twice": batch["label"] * 2}

    def only_twice(batch: Batch) -> Mapping[str, Any]:
        assert len(batch.index) == len(batch.valid) and batch.epoch == 0
        return {"twice": batch["twice"]}

    for batch in batches(pack, 8, transform=[Normalise.of(pack), shape, only_twice]):
        assert list(batch) == ["twice"]
        assert (batch["twice"] == batch.index % 10 * 2).all()


def test_a_failing_function_is_raised_at_its_batch_with_the_samples_key(
    make_pack: MakePack,
) -> None:
    def refuse_nine(batch: Batch) -> Batch:
        if (batch.index == 9).any():
            raise ZeroDivisionError("nine")
        batch["label"][...] = 0  # in place: the search for the culprit must not see it
        return batch

    stream = stream_of(make_pack(N), 4, shuffle=False, threads=3, transform=[refuse_nine])
    taken = []
    with pytest.raises(StreamError, match=r"position 8, sample 'train/00009'.*refuse_nine") as info:
        for batch in stream:
            taken.append(batch.position)
    assert taken == [0, 4] and stream.position == 8
    assert isinstance(info.value.__cause__, ZeroDivisionError)
    del info
    assert not ours()


def test_a_function_that_fails_on_no_single_sample_is_reported_with_the_batch(
    make_pack: MakePack,
) -> None:
    def only_alone(batch: Batch) -> Batch:
        if len(batch.index) > 1:
            raise ValueError("too many")
        return batch

    stream = batches(make_pack(N), 4, shuffle=False, transform=[only_alone])
    with pytest.raises(StreamError, match="samples 'train/00000' to 'train/00003'"):
        next(iter(stream))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "expected a mapping of fields, got NoneType"),
        ({"image": np.zeros(1)}, "'image'; expected 4 rows, got 1"),
        ({"loss": 3.0}, "'loss'; expected 4 rows"),
        ({3: np.zeros(4)}, "name of a field; expected text, got 3"),
    ],
)
def test_what_a_function_returns_is_checked(make_pack: MakePack, result: Any, message: str) -> None:
    stream = batches(make_pack(N), 4, transform=[lambda batch: result])
    with pytest.raises(StreamError, match=message):
        next(iter(stream))


def test_a_closed_stream_says_so(make_pack: MakePack) -> None:
    stream = batches(make_pack(N), 4)
    stream.close()
    with pytest.raises(StreamError, match="closed"):
        iter(stream)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"rank": (3, 3)}, "rank"),
        ({"rank": 3}, "rank"),
        ({"rank": (0, 1, 2)}, "rank"),
        ({"seed": -1}, "seed"),
        ({"seed": "0"}, "seed"),
        ({"batch_size": 38, "drop_last": True}, "drop_last"),
        ({"threads": 0}, "threads"),
        ({"threads": True}, "threads"),
        ({"foo": 1}, "^batches: unknown argument 'foo'; expected one of seed, .*device.*threads$"),
        ({"rank": (True, 2)}, "rank"),
        ({"rank": np.eye(2)}, "rank"),
        ({"device": "toaster"}, "device"),
        ({"device": "meta"}, "device"),
        ({"transform": 3}, "transform"),
        ({"transform": [3]}, "transform"),
        ({"transform": Flip()}, "transform"),
    ],
)
def test_nonsense_is_refused_when_the_stream_is_made(
    make_pack: MakePack, arguments: dict[str, Any], message: str
) -> None:
    if "device" in arguments:
        pytest.importorskip("torch")
    with pytest.raises(UsageError, match=message):
        batches(make_pack(N), **({"batch_size": 4} | arguments))


def test_numpys_numbers_are_as_good_as_pythons(make_pack: MakePack) -> None:
    few: Any = np.int64
    rank: Any = np.array([1, 2])
    with batches(make_pack(N), few(4), seed=few(3), rank=rank, threads=few(1)) as stream:
        found = [batch.index.tolist() for batch in stream]
        saved = json.loads(json.dumps(stream.state_dict()))
    with batches(make_pack(N), 4, seed=3, rank=(1, 2)) as stream:
        assert found == [batch.index.tolist() for batch in stream]
        stream.load_state_dict({name: few(v) if type(v) is int else v for name, v in saved.items()})
        assert (stream.epoch, stream.position) == (1, 0)
        assert type(stream.state_dict()["epoch"]) is int


@pytest.mark.parametrize("threads", [0, -1, 1.5, 1000])
def test_a_strange_number_of_threads_is_refused(make_pack: MakePack, threads: Any) -> None:
    with pytest.raises(UsageError, match="threads"):
        stream_of(make_pack(N), 4, threads=threads)


def test_an_order_of_another_pack_is_refused(make_pack: MakePack) -> None:
    pack, other = make_pack(N), make_pack(40)
    order = Order(len(other), Key(other.samples_digest, 0, True), 4)
    with pytest.raises(UsageError, match="another pack"):
        Stream(pack, order)


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
