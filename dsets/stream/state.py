"""Where a stream is: (epoch, position), and the key of the order they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dsets.errors import StreamError
from dsets.numbers import whole, written
from dsets.stream.window import Window

_FORMAT = 1
#: Characters of a samples digest, and more.
_MOST = 100


@dataclass(frozen=True, slots=True)
class Key:
    """What fixes an order for ever: the same samples, seed and shuffling.

    ``shuffle``: False is the pack's own order, True a permutation of all samples, a Window one
    within windows.
    """

    samples_digest: str
    seed: int
    shuffle: bool | Window

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", whole("seed", self.seed, 0, 2**32 - 1, "stream"))


#: Epochs are keyed by 32 bits.
LAST_EPOCH = 2**32 - 1


@dataclass(frozen=True, slots=True)
class State:
    """The next batch starts at ``position`` (samples, of all ranks) of epoch ``epoch``."""

    epoch: int = 0
    position: int = 0


def dump(key: Key, state: State) -> dict[str, Any]:
    """Plain numbers and strings: fit for JSON, torch.save, a checkpoint's header."""
    return {"format": _FORMAT, **asdict(key), **asdict(state)}


def load(saved: Mapping[str, Any], key: Key, n: int) -> State:
    """The state in ``saved``, if it belongs to this key and lies within n samples.

    Batch size, number of ranks and threads are not part of the key: they may change.

    Raises:
        StreamError: another version, other samples, another seed or shuffling, or nonsense.
    """
    if not isinstance(saved, Mapping):
        raise StreamError("bad stream state", expected="a mapping", got=type(saved).__name__)
    # NumPy's numbers are as good as those that were saved.
    saved = {
        name: int(value) if isinstance(value, np.integer) else value
        for name, value in saved.items()
    }
    version = saved.get("format")
    if type(version) is not int or version != _FORMAT:
        raise StreamError(
            "stream state of an unknown version", expected=_FORMAT, got=written(version)
        )
    for name, expected in asdict(key).items():
        given = saved.get(name)  # of another type, it may not even be comparable
        if type(given) is not type(expected) or given != expected:
            raise StreamError(
                f"the stream's state belongs to another {_WORDS[name]}",
                where="load_state_dict",
                expected=expected,
                got=given[:_MOST] if isinstance(given, str) else written(given),
                remedy="open the pack and use the seed that the saved run used",
            )
    state = State(saved.get("epoch", -1), saved.get("position", -1))
    # After the last epoch the state is one that nothing follows.
    for name, value, most in (
        ("epoch", state.epoch, LAST_EPOCH + 1),
        ("position", state.position, n),
    ):
        if type(value) is not int or not 0 <= value <= most:
            raise StreamError(
                f"bad {name} in a stream's state", expected=f"0 to {most}", got=written(value)
            )
    return state


_WORDS = {"samples_digest": "set of samples", "seed": "seed", "shuffle": "kind of order"}
