"""A stream's own functions among its transforms: when they run, and what they may return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from dsets.errors import StreamError
from dsets.pack import Pack
from dsets.stream import Batch, batches
from dsets.transforms import Normalise
from tests.stream.streams import ours, stream_of

MakePack = Callable[..., Pack]
N = 37


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
