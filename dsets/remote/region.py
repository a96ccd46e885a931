"""Locked regions. A finaliser that runs within one, in the same thread, must wait for nobody.

Garbage is collected anywhere, so also where this very thread holds what the threads of a dropped
stream are waiting for: to wait for them, or for what they hold, would never end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsets.locks import holding


class _Depth(threading.local):
    value = 0


_depth = _Depth()


def inside() -> bool:
    """Whether this thread is within a region."""
    return _depth.value > 0


@contextmanager
def folder(root: Path) -> Iterator[None]:
    """Where the folder of the cache is locked, against other processes, too."""
    _depth.value += 1
    try:
        with holding(root, folder=True):
            yield
    finally:
        _depth.value -= 1


class Changed(threading.Condition):
    """A condition whose lock, which is re-entrant, makes a region of the block that holds it."""

    def __enter__(self) -> bool:
        _depth.value += 1
        try:
            return super().__enter__()
        except BaseException:
            _depth.value -= 1
            raise

    def renew(self) -> None:
        """In a forked child: a lock that no thread holds, and nobody who waits."""
        super().__init__()

    def __exit__(self, *failure: Any) -> None:
        super().__exit__(*failure)
        _depth.value -= 1
