"""How many images are held at once, and what is said where memory does not do for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dsets.errors import TrainError

#: More images at once make an evaluation no faster.
MOST = 500
#: What torch and its libraries say; only CUDA's allocator has a type of its own.
_SAID = ("can't allocate memory", "bad_alloc", "out of memory")


def held(batch_size: int, accumulate: int, crops: int = 1) -> int:
    """Images of one batch of an evaluation, over all processes: no more views at once than a step
    of training holds, but one image with all its ``crops``."""
    return max(1, min(MOST, batch_size // accumulate) // crops)


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
