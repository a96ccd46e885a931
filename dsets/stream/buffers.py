"""Output memory that is used again and again, yet safe to keep.

A fresh buffer for every batch costs more than filling it: the system hands out, clears and takes
back its pages each time. So a pool lends its buffers, each through an exporter object of its own,
and takes a buffer back when that exporter dies: when no array, slice, tensor or capsule refers to
it any more. (It must not be an array: NumPy lets views of views refer to the array that owns the
memory, past whoever stands between.)

Memory that nobody has touched yet is dear, too: where a hypervisor must find its pages first, a
batch of 150 MB took 0.2 to 0.4 s to clear, in which the consumer waited. So fresh buffers are made
ready piece by piece by whoever has nothing else to do: a consumer without a batch, and a thread
whose batch is not the next one, for which it leaves what comes back.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

_PAGE = 4096
_LONG_S = 1.0  # no piece takes that long to touch
_PIECE = 2 << 20  # a huge page; more of it than NumPy would touch without letting others run

Memory = npt.NDArray[np.uint8]


def page_aligned(size: int) -> Memory:
    """Fresh memory, uint8 (size,), that starts at a page."""
    memory = np.empty(size + _PAGE, np.uint8)
    start = -memory.ctypes.data % _PAGE
    return memory[start : start + size]


class _Exporter:
    """What an array of borrowed memory refers to, so that its death tells the pool."""

    __slots__ = ("__array_interface__", "__weakref__")

    def __init__(self, memory: Memory, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.__array_interface__ = {
            "version": 3,
            "data": (memory.ctypes.data, False),
            "shape": shape,
            "typestr": dtype.str,
        }


class _Fresh:
    """A buffer that is being touched: of its pieces so many are ``begun``, so many ``done``."""

    __slots__ = ("begun", "done", "memory", "pieces")

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.pieces = max(-(-len(memory) // _PIECE), 1)
        self.begun = self.done = 0


def _none() -> int:
    return 0


class Pool:
    """``count`` buffers of ``size`` bytes each, and more while a consumer keeps what it got.

    An empty pool allocates, it waits for nobody to give back. To take back needs no lock, since a
    finaliser may do so at any moment in any thread: a deque's ends are atomic. Buffers beyond
    ``count`` are dropped then.
    """

    def __init__(
        self, size: int, count: int, allocate: Callable[[int], Memory] = page_aligned
    ) -> None:
        self._size = size
        self._count = count
        self._allocate = allocate
        self._used: deque[Memory] = deque()
        #: Guards what is fresh; notified when one of them is ready.
        self._changed = threading.Condition()
        self._fresh = [_Fresh(allocate(size)) for _ in range(count)]
        #: Buffers allocated because all were lent.
        self.extra = 0

    @property
    def free(self) -> int:
        """Buffers that wait to be lent."""
        return len(self._used) + len(self._fresh)

    def lend(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], before: Callable[[], int] = _none
    ) -> npt.NDArray[Any]:
        """A writable, C-contiguous, page-aligned array whose contents are undefined.

        ``before``: how many buffers others will want that are to have theirs first. While there are
        fresh ones, so many of the others are left for them; the last fresh one is for who has no
        other.
        """
        if dtype.itemsize * int(np.prod(shape, dtype=np.int64)) > self._size:
            raise ValueError(f"the pool lends {self._size} bytes, not {dtype} {shape}")
        memory = self._take(before)
        exporter = _Exporter(memory, shape, dtype)
        weakref.finalize(exporter, self._take_back, memory).atexit = False
        return np.asarray(exporter)

    def _take(self, before: Callable[[], int]) -> Memory:
        while True:
            with self._changed:
                if len(self._fresh) <= 1 or len(self._used) > before():
                    with suppress(IndexError):
                        return self._used.pop()
                if not self._fresh:
                    self.extra += 1
                    break
                if len(self._fresh) == self._count and not self._fresh[-1].begun:
                    return self._fresh.pop().memory  # none is lent that could come back
                mine = self._begin()
                if mine is None:
                    if self._changed.wait(_LONG_S):
                        continue
                    self.extra += 1  # whoever touched it was interrupted before he could say so
                    break
            self._touch(*mine)
        return self._allocate(self._size)

    def make_ready(self) -> bool:
        """Touch a piece of a fresh buffer, of the first two; False where none is left to touch.

        With two there is one to fill while the other is read; whether a third is worth its price
        shows when a thread wants it.
        """
        with self._changed:
            mine = self._begin() if self._count - len(self._fresh) < 2 else None
        if mine is not None:
            self._touch(*mine)
        return mine is not None

    def _begin(self) -> tuple[_Fresh, int] | None:
        """A fresh buffer and which piece of it is the caller's to touch."""
        for fresh in self._fresh:
            if fresh.begun < fresh.pieces:
                fresh.begun += 1
                return fresh, fresh.begun - 1
        return None

    def _touch(self, fresh: _Fresh, piece: int) -> None:
        try:
            fresh.memory[piece * _PIECE : (piece + 1) * _PIECE : _PAGE] = 0
        finally:  # an interrupt may come here, and untouched memory is only slower
            with self._changed:
                fresh.done += 1
                if fresh.done == fresh.pieces:
                    self._fresh.remove(fresh)
                    self._used.append(fresh.memory)
                    self._changed.notify_all()

    def renew(self) -> None:
        """In a forked child: nobody touches anything any more, or holds the lock."""
        self._changed = threading.Condition()
        self._fresh = [_Fresh(fresh.memory) for fresh in self._fresh]

    def _take_back(self, memory: Memory) -> None:
        if self.free < self._count:
            self._used.append(memory)
