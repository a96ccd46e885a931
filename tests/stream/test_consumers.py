"""Consumers that stop, fail or drop a stream: no thread remains."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

import pytest

from dsets.errors import StreamError
from dsets.pack import Pack
from dsets.stream import Batch, Stream, batches
from dsets.stream.prefetch import Prefetch
from tests.stream.streams import ours, stream_of

MakePack = Callable[..., Pack]
N = 37


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


def test_an_interrupt_while_the_threads_end_leaves_a_stream_that_goes_on(
    make_pack: MakePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = stream_of(make_pack(N), 8)
    iterator = iter(stream)
    position = next(iterator).position
    close = Prefetch.close

    def interrupted(prefetch: Prefetch[object, object]) -> None:
        close(prefetch)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Prefetch, "close", interrupted)
        stream.load_state_dict(stream.state_dict())
    assert next(iter(stream)).position == position + 8
    stream.close()
    assert not ours()


def test_a_closed_stream_says_so(make_pack: MakePack) -> None:
    stream = batches(make_pack(N), 4)
    stream.close()
    with pytest.raises(StreamError, match="closed"):
        iter(stream)


def test_two_threads_that_take_at_once_are_told(make_pack: MakePack) -> None:
    begun, go = threading.Event(), threading.Event()

    def wait(batch: Batch) -> Batch:
        begun.set()
        go.wait()
        return batch

    stream = batches(make_pack(N), 4, transform=[wait])
    taken: list[Batch] = []
    other = threading.Thread(target=lambda: taken.append(stream._next()))
    other.start()
    begun.wait()
    with pytest.raises(StreamError, match="another thread is taking a batch"):
        stream._next()
    go.set()
    other.join()
    assert len(taken) == 1 and stream.position == 4
    stream.close()


def test_a_local_pack_closes_as_a_remote_one_does(make_pack: MakePack) -> None:
    with Pack.open(make_pack(N).path) as pack, batches(pack, 4) as stream:
        first = next(iter(stream))["label"]
    pack.close()
    assert len(first) == 4 and len(pack[:3]["label"]) == 3
