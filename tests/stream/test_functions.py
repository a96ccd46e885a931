"""A stream's own functions among its transforms: when they run, and what they may return."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from operator import methodcaller
from typing import Any

import numpy as np
import pytest

from dsets.errors import PackError, StreamError, UsageError
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


def odd(batch: Batch) -> bool:
    return len(batch.index) % 2 == 1


def three(batch: Batch) -> bool:
    return bool((batch["label"] == 3).any())


def mixed_up(batch: Batch) -> Batch:
    assert not odd(batch), "pairs"
    if three(batch):
        raise ValueError("label 3")
    return batch


def on_two_lines(batch: Batch) -> Batch:
    if odd(batch):
        raise ValueError
    if three(batch):
        raise ValueError
    return batch


def of_two_types(batch: Batch) -> Batch:
    if odd(batch) or three(batch):
        raise (UsageError if odd(batch) else PackError)("label 3")
    return batch


def in_two_words(batch: Batch) -> Batch:
    if odd(batch) or three(batch):
        raise ValueError("pairs" if odd(batch) else "label 3")
    return batch


def refusing(bad: Callable[[Batch], bool]) -> Callable[[Batch], Batch]:
    def refuse(batch: Batch) -> Batch:
        if bad(batch):
            raise ValueError
        return batch

    return refuse


@pytest.mark.parametrize(
    "functions",
    [
        [mixed_up],
        [on_two_lines],
        [of_two_types],
        [in_two_words],
        [refusing(odd), refusing(three)],
    ],
)
def test_a_sample_that_fails_alone_for_another_reason_is_not_blamed(
    make_pack: MakePack, functions: list[Any]
) -> None:
    stream = batches(make_pack(N), 4, shuffle=False, transform=functions)
    with pytest.raises(
        StreamError, match="samples 'train/00000' to 'train/00003': transform"
    ) as info:
        next(iter(stream))
    assert isinstance(info.value.__cause__, ValueError | PackError)


def test_behind_samples_that_fail_alone_for_another_reason_the_culprit_is_named(
    make_pack: MakePack,
) -> None:
    def whole(batch: Batch) -> Batch:
        if (batch["label"] == 2).any():
            raise ValueError("label 2")
        if (batch["label"] < 2).all():
            raise IndexError("nothing to show")
        return batch

    stream = batches(make_pack(N), 4, shuffle=False, transform=[whole])
    with pytest.raises(StreamError, match=r"sample 'train/00002': .*ValueError\('label 2'\)"):
        next(iter(stream))


def test_a_function_that_is_not_written_in_python_fails_alone_as_in_a_batch(
    make_pack: MakePack,
) -> None:
    stream = batches(make_pack(N), 4, shuffle=False, transform=[methodcaller("nothing")])
    with pytest.raises(StreamError, match=r"sample 'train/00000': transform \w*methodcaller"):
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


class Silent(Exception):
    """An exception that has nothing to say, and says so the hard way."""

    def __repr__(self) -> str:
        sys.exit(0)


class Wordless(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no words")

    __str__ = __repr__


class Strange:
    """A function whose own name and words cannot be had either."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, batch: Batch) -> Batch:
        if (batch.index == 2).any():
            batch.index[...] = 10**9
            batch.valid[...] = False
            raise self.error
        return batch

    def __getattr__(self, name: str) -> int:
        return 3  # whatever is asked for, its __qualname__, too

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Wordless(), r"Wordless; its message cannot be had \(RuntimeError\)"),
        (Silent(), r"Silent; its message cannot be had \(SystemExit\)"),
        (SystemExit(0), r"SystemExit\(0\)"),
        (KeyboardInterrupt(), r"KeyboardInterrupt\(\)"),
        (GeneratorExit(), r"GeneratorExit\(\)"),
        (ValueError("x" * 10**6), r"ValueError\('x{900}"),
    ],
)
def test_however_a_function_fails_the_sample_is_named(
    make_pack: MakePack, error: BaseException, words: str
) -> None:
    stream = batches(make_pack(N), 4, shuffle=False, transform=[Strange(error)])
    with pytest.raises(
        StreamError, match=rf"sample 'train/00002': transform \w+ failed: {words}"
    ) as info:
        next(iter(stream))
    assert info.value.__cause__ is error and len(str(info.value)) < 2000


def test_a_function_that_is_given_twice_may_fail_the_second_time(make_pack: MakePack) -> None:
    def once(batch: Batch) -> Mapping[str, Any]:
        if "seen" in batch and 2 in batch.index:
            raise ValueError("seen")
        return {**batch, "seen": batch.index}

    stream = batches(make_pack(N), 4, shuffle=False, transform=[once, once])
    with pytest.raises(StreamError, match="sample 'train/00002'"):
        next(iter(stream))


def test_a_function_cannot_move_the_stream(make_pack: MakePack) -> None:
    def elsewhere(batch: Batch) -> Batch:
        batch.position, batch.epoch = 20, 7
        return batch

    with batches(make_pack(N), 4, transform=[elsewhere]) as stream:
        assert [batch.position for batch in stream] == list(range(0, N, 4))
        assert stream.epoch == 1
