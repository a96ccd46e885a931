"""Batches that are kept, changed or dropped, and the memory that they take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dsets.pack import Pack
from dsets.stream import batches
from dsets.transforms import Flip, PadCrop
from tests.stream.streams import stream_of

MakePack = Callable[..., Pack]
N = 37


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
