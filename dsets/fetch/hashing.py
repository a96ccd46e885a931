"""Digests beside the work: each algorithm in a thread of its own (hashlib lets go of the GIL)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread

from dsets.closing import Closing

CHUNK = 1 << 20
RING = 16 * CHUNK  # how far the slowest algorithm may lag behind
TURN = 4 * CHUNK  # hashed in one go at most, before its memory is free again

Data = bytes | memoryview


class Digester(Closing):
    """Hashes what ``update`` is given, in the background; ``result`` waits until all of it is done.

    One ring of memory is read into, written from and hashed from. A thread hashes whatever has come
    since it looked last in one piece, for its turns at the interpreter's lock are what costs.

    A context manager: its threads end with the block. One thread calls it.
    """

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self._ring = memoryview(bytearray(RING))
        self._changed = Condition()
        self._came = 0
        self._done = dict.fromkeys(self._hashes, 0)  # of what came, by algorithm
        self._over = False
        self._threads = [
            Thread(target=self._work, args=(name,), name=f"dsets-hash-{name}", daemon=True)
            for name in self._hashes
        ]
        for thread in self._threads:
            thread.start()

    @contextmanager
    def block(self) -> Iterator[memoryview]:
        """Memory to read into, at most ``CHUNK`` bytes; its beginning may be given to ``update``.

        Fresh memory for each read costs more than the read: the kernel clears every page of it.
        """
        start = self._came % RING
        size = min(CHUNK, RING - start)
        with self._changed:
            self._changed.wait_for(lambda: RING - self._lag() >= size)
        yield self._ring[start : start + size]

    def update(self, data: Data) -> None:
        """Hash this too: bytes, or the beginning of what ``block`` lends."""
        if isinstance(data, bytes):
            view = memoryview(data)
            while view:
                with self.block() as block:
                    count = min(len(block), len(view))
                    block[:count] = view[:count]
                    self.update(block[:count])
                view = view[count:]
            return
        with self._changed:
            self._came += len(data)
            self._changed.notify_all()

    def result(self) -> dict[str, str]:
        """Algorithm → lower-case hex, of everything so far."""
        with self._changed:
            self._changed.wait_for(lambda: self._lag() == 0)
        return {name: hashed.hexdigest() for name, hashed in self._hashes.items()}

    def close(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _lag(self) -> int:
        return self._came - min(self._done.values(), default=self._came)

    def _work(self, name: str) -> None:
        hashed, done = self._hashes[name], 0
        while True:
            with self._changed:
                while self._came == done and not self._over:
                    self._changed.wait()
                if self._over:
                    return
                start = done % RING
                count = min(self._came - done, RING - start, TURN)
            hashed.update(self._ring[start : start + count])
            with self._changed:
                done = self._done[name] = done + count
                self._changed.notify_all()


def digests(
    path: Path, algorithms: Iterable[str], advance: Callable[[int], None] = lambda count: None
) -> dict[str, str]:
    """Algorithm → hex of a whole file. ``advance`` is told how many bytes were read so far."""
    with Digester(algorithms) as digester, path.open("rb", buffering=0) as file:
        done = 0
        while True:
            with digester.block() as block:
                count = file.readinto(block)
                if not count:
                    return digester.result()
                digester.update(block[:count])
            done += count
            advance(done)
