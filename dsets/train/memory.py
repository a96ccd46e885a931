"""How many images are held at once, and what is said where memory does not do for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dsets.errors import TrainError

#: More images at once make an evaluation no faster, as a rule.
MOST = 500
#: What torch and its libraries say; only CUDA's allocator has a type of its own.
_SAID = ("can't allocate memory", "bad_alloc", "out of memory")


def held(batch_size: int, accumulate: int) -> int:
    """Images that an evaluation computes at once, over all processes: no more than a step of
    training, which is taken in so many pieces."""
    return max(1, min(MOST, batch_size // accumulate))


@contextmanager
def told(where: object, remedy: str) -> Iterator[None]:
    """Raise TrainError with that remedy where memory runs out; anything else passes."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, TrainError) or not _memory(error):
            raise
        said = str(error).splitlines() or [type(error).__name__]
        raise TrainError("out of memory", where=where, got=said[0], remedy=remedy) from error


def _memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(said in str(error) for said in _SAID)
