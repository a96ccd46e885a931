"""Decoded raw data kept for the next call, up to a bounded number of bytes a process.

A compressed stream cannot be entered in the middle, and a Dask task asks for one shard's rows at a
time: without a cache, every task would inflate the whole archive again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

LIMIT_BYTES = 256 << 20


class Cache:
    """The values used last, of at most ``limit`` bytes together. Safe for threads.

    ``lock`` is for whoever loads what is missing: two threads that need the same archive then
    inflate it once.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self.lock = threading.RLock()
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Any:
        """The value, or None."""
        with self.lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep ``value``, which takes ``size`` bytes, and forget what was used longest ago."""
        with self.lock:
            self._bytes += size - self._values.pop(key, (None, 0))[1]
            self._values[key] = value, size
            while self._bytes > self.limit:
                _, (_, forgotten) = self._values.popitem(last=False)
                self._bytes -= forgotten

    def clear(self) -> None:
        with self.lock:
            self._values.clear()
            self._bytes = 0

    @property
    def bytes(self) -> int:
        """What the values kept take together."""
        return self._bytes


DECODED = Cache()
