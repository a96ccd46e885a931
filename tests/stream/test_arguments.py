"""What a stream may be asked for, and what is refused when it is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dsets.errors import UsageError
from dsets.pack import Pack
from dsets.stream import Key, Order, Stream, batches
from dsets.transforms import (
    Crop,
    Flip,
    Lighting,
    Normalise,
    PadCrop,
    RandomResizedCrop,
    SubtractMean,
)
from tests.stream.streams import stream_of

MakePack = Callable[..., Pack]
N = 37


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


class Wordless:
    """What raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    __index__ = __float__ = __len__ = __repr__  # type: ignore[assignment]


@pytest.mark.parametrize("value", [Wordless(), ["x" * 10**6]], ids=["wordless", "long"])
def test_what_cannot_be_written_is_refused_in_few_words(make_pack: MakePack, value: Any) -> None:
    pack = make_pack(N)
    names = ("seed", "shuffle", "transform", "rank", "drop_last", "verify", "unreadable", "threads")
    refused: list[Callable[[], object]] = [
        lambda: batches(pack, value),
        lambda: Crop(value),
        lambda: PadCrop(value),
        lambda: RandomResizedCrop(8, value),
        lambda: Normalise(value, (1, 1, 1)),
        lambda: Normalise((1, 1, 1), (1, 1, 1), value),
        lambda: Lighting(value, value),
        lambda: SubtractMean(value),
        *(lambda name=name: batches(pack, 4, **{name: value}) for name in names),  # type: ignore[misc]
    ]
    for call in refused:
        with pytest.raises(UsageError) as info:
            call()
        assert len(str(info.value)) < 3000
