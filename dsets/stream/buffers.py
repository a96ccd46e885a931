"""Output memory that is used again and again, yet safe to keep.

A fresh buffer for every batch costs more than filling it: the system hands out, clears and takes
back its pages each time. So a pool lends its buffers, each through an exporter object of its own,
and takes a buffer back when that exporter dies: when no array, slice, tensor or capsule refers to
it any more. (It must not be an array: NumPy lets views of views refer to the array that owns the
memory, past whoever stands between.)
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

_PAGE = 4096

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


class Pool:
    """``count`` buffers of ``size`` bytes each, and more while a consumer keeps what it got.

    An empty pool allocates, it never blocks; buffers beyond ``count`` are dropped on return. Needs
    no lock, since a finaliser may run at any moment in any thread: a deque's ends are atomic.
    """

    def __init__(
        self, size: int, count: int, allocate: Callable[[int], Memory] = page_aligned
    ) -> None:
        self._size = size
        self._count = count
        self._allocate = allocate
        self._free = deque(allocate(size) for _ in range(count))
        #: Buffers allocated because all were lent.
        self.extra = 0

    @property
    def free(self) -> int:
        """Buffers that wait to be lent."""
        return len(self._free)

    def lend(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """A writable, C-contiguous, page-aligned array whose contents are undefined."""
        if dtype.itemsize * int(np.prod(shape, dtype=np.int64)) > self._size:
            raise ValueError(f"the pool lends {self._size} bytes, not {dtype} {shape}")
        try:
            memory = self._free.pop()
        except IndexError:
            memory = self._allocate(self._size)
            self.extra += 1
        exporter = _Exporter(memory, shape, dtype)
        weakref.finalize(exporter, self._take_back, memory).atexit = False
        return np.asarray(exporter)

    def _take_back(self, memory: Memory) -> None:
        if len(self._free) < self._count:
            self._free.append(memory)
