"""Memory beside the page cache: flat over many epochs, four batches with any number of threads."""

from __future__ import annotations

import gc
import os
import signal
import tracemalloc
import warnings
from collections.abc import Callable

import pytest

from dsets.pack import Pack
from dsets.stream import Key, Options, Order, Stream
from dsets.transforms import Flip, Normalise, PadCrop
from dsets.transforms.recipe import Transform

MakePack = Callable[..., Pack]
EPOCHS = 10


@pytest.mark.parametrize(("device", "threads"), [(None, 2), ("cpu", 2), (None, 1), (None, 7)])
def test_ten_epochs_need_the_memory_of_the_first_at_most_four_batches(
    make_pack: MakePack, device: str | None, threads: int
) -> None:
    if device:
        pytest.importorskip("torch")
    pack = make_pack(200, size=(64, 64, 3))
    transform: list[Transform] = [PadCrop(4), Flip(), Normalise.of(pack)]
    order = Order(len(pack), Key(pack.samples_digest, 0, True), 32)
    batch_bytes = 32 * 64 * 64 * 3 * 4  # the float32 images of a batch, 1.5 MB
    with Stream(pack, order, transform, device=device, options=Options(threads=threads)) as warm:
        for batch in warm:  # what is loaded and looked up once a process
            assert len(batch.index) > 0
    del batch, warm
    gc.collect()
    tracemalloc.start()
    try:
        stream = Stream(pack, order, transform, device=device, options=Options(threads=threads))
        peaks = []
        for _ in range(EPOCHS):
            tracemalloc.reset_peak()
            for batch in stream:
                assert len(batch.index) > 0
            peaks.append(tracemalloc.get_traced_memory()[1])
        pools = stream._assembly.pools
        assert {name: pool.extra for name, pool in pools.items()} == dict.fromkeys(pools, 0)
        stream.close()
    finally:
        tracemalloc.stop()
    assert 4 * batch_bytes <= peaks[0]  # the measure sees the pools
    assert max(peaks) < 5 * batch_bytes  # four batches, the other fields, what the threads jot down
    assert max(peaks) - peaks[0] < batch_bytes // 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("again", [False, True], ids=["goes on", "begins again"])
def test_a_forked_child_needs_nothing_that_a_thread_of_its_parent_was_making_ready(
    make_pack: MakePack, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    monkeypatch.setattr("dsets.stream.buffers._LONG_S", 3600.0)  # no way out but to be made anew
    pack = make_pack(40, size=(64, 64, 3))
    order = Order(len(pack), Key(pack.samples_digest, 0, True), 4)
    with Stream(pack, order, [Normalise.of(pack)]) as stream:
        start = stream.state_dict()
        kept = [next(iter(stream))]
        pool = stream._assembly.pools["image"]
        with pool._changed:
            while pool._begin() is not None:  # as if threads were touching all of it
                pass
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of threads at fork
                child = os.fork()
        if child == 0:
            signal.alarm(20)  # a hang ends the child, and the test
            if again:
                stream.load_state_dict(start)
            kept += list(stream)
            os._exit(0 if sum(len(batch.index) for batch in kept) == 40 + 4 * again else 2)
        status = os.waitpid(child, 0)[1]
        pool.renew()  # for the parent nobody is touching it, either
        assert os.waitstatus_to_exitcode(status) == 0
