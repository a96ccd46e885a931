from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets.errors import StreamError, UsageError
from dsets.pack import Pack
from dsets.stream import batches
from dsets.stream.state import Key, State, dump, load
from dsets.transforms import RandomResizedCrop

MakePack = Callable[..., Pack]
KEY = Key("a" * 64, 5, True)


@given(epoch=st.integers(0, 2**32 - 1), position=st.integers(0, 100))
def test_a_state_survives_json(epoch: int, position: int) -> None:
    state = State(epoch, position)
    assert load(json.loads(json.dumps(dump(KEY, state))), KEY, 100) == state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples_digest": "b" * 64}, "set of samples"),
        ({"seed": 6}, "another seed; expected 5, got 6"),
        ({"seed": True}, "seed"),
        ({"shuffle": False}, "kind of order"),
        ({"format": 2}, "version; expected 1, got 2"),
        ({"format": None}, "version"),
        ({"epoch": -1}, "bad epoch"),
        ({"epoch": 1.0}, "bad epoch"),
        ({"epoch": 2**32 + 1}, "bad epoch"),
        ({"position": 101}, "bad position .*0 to 100, got 101"),
        ({"position": "3"}, "bad position"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StreamError, match=message):
        load(dump(KEY, State(2, 30)) | change, KEY, 100)


class Wordless:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("name", ["format", "samples_digest", "seed", "shuffle", "epoch"])
@pytest.mark.parametrize("value", [Wordless(), nested(100_000), "x" * 10**7], ids=type)
def test_what_cannot_be_written_is_refused_in_few_words(name: str, value: Any) -> None:
    with pytest.raises(StreamError) as info:
        load(dump(KEY, State()) | {name: value}, KEY, 100)
    assert len(str(info.value)) < 2000


@pytest.mark.parametrize("name", ["format", "samples_digest", "seed", "shuffle", "epoch"])
def test_a_state_with_a_part_missing_is_refused(name: str) -> None:
    saved = dump(KEY, State())
    del saved[name]
    with pytest.raises(StreamError):
        load(saved, KEY, 100)


@pytest.mark.parametrize("saved", [None, 3, [], "state"])
def test_what_is_no_state_is_refused(saved: Any) -> None:
    with pytest.raises(StreamError, match="mapping"):
        load(saved, KEY, 100)


@pytest.mark.parametrize(
    "strange",
    [10**5000, np.array([1, 2]), True, [10**5000]],
    ids=["huge", "array", "truth", "list"],
)
@pytest.mark.parametrize("name", list(dump(KEY, State())))
def test_a_state_with_a_strange_part_is_refused(name: str, strange: Any) -> None:
    if dump(KEY, State())[name] is strange:
        return
    with pytest.raises(StreamError):
        load(dump(KEY, State()) | {name: strange}, KEY, 100)


@pytest.mark.parametrize("deed", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_stream_says_what_travels_in_its_place(make_pack: MakePack, deed: Any) -> None:
    with batches(make_pack(9), 4) as stream, pytest.raises(UsageError, match="state_dict"):
        deed(stream)


@given(
    st.dictionaries(st.sampled_from(list(dump(KEY, State()))), st.none() | st.text() | st.floats())
)
def test_garbage_never_escapes_as_another_error(change: dict[str, Any]) -> None:
    try:
        state = load(dump(KEY, State()) | change, KEY, 100)
    except StreamError:
        return
    assert state == State()


def test_after_the_last_epoch_there_is_none(make_pack: MakePack) -> None:
    with batches(make_pack(9), 4) as stream:
        stream.load_state_dict(stream.state_dict() | {"epoch": 2**32 - 1})
        assert sum(len(batch.index) for batch in stream) == 9
        after = stream.state_dict()
    with batches(make_pack(9), 4) as stream:
        stream.load_state_dict(after)
        with pytest.raises(StreamError, match="no more epochs"):
            next(iter(stream))


@pytest.mark.parametrize("no_pack", ["packs/mnist", None])
def test_what_is_no_pack_is_refused_with_a_word_on_how_to_open_one(no_pack: Any) -> None:
    with pytest.raises(UsageError, match=r"not a pack.*Pack\.open"):
        batches(no_pack, 4)


def test_batches_that_no_memory_holds_are_refused(make_pack: MakePack) -> None:
    with pytest.raises(StreamError, match=r"no memory.*smaller batch_size"):
        batches(make_pack(9), 4, transform=[RandomResizedCrop(2**20)])
