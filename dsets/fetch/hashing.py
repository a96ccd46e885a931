"""Digests of what comes: of a large file beside the work, each algorithm in a thread of its own.

hashlib lets go of the interpreter's lock, so that nobody waits for it. A small file is hashed where
it comes: to start a thread, and to hand over to it, takes longer than is saved.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread

from dsets.closing import Closing

CHUNK = 1 << 20
RING = 16 * CHUNK  # how far the slowest algorithm may lag behind; no more is hashed without threads
SMALLEST = 1 << 16  # of the memory lent
TURN = 4 * CHUNK  # hashed in one go at most, before its memory is free again

Data = bytes | memoryview


class Digester(Closing):
    """Hashes what ``update`` is given; ``result`` waits until all of it is done.

    One piece of memory is read into, written from and hashed from. From ``RING`` bytes on, known to
    be ``expected`` or come, it is a ring, and a thread hashes whatever has come since it looked
    last in one piece, for its turns at the interpreter's lock are what costs.

    A context manager: its threads end with the block. One thread calls it.
    """

    def __init__(self, algorithms: Iterable[str], expected: int | None = None) -> None:
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self._changed = Condition()
        self._came = 0
        self._done = dict.fromkeys(self._hashes, 0)  # of what came, by algorithm
        self._over = False
        self._threads: list[Thread] = []
        if expected is not None and expected > RING:
            self._begin()
        else:
            size = CHUNK if expected is None else min(CHUNK, max(expected, SMALLEST))
            self._ring = memoryview(bytearray(size))

    def _begin(self) -> None:
        self._ring = memoryview(bytearray(RING))
        self._came = 0
        for name in self._hashes:
            of = f"dsets-hash-{name}"
            thread = Thread(target=self._work, args=(name,), name=of, daemon=True)
            thread.start()
            self._threads.append(thread)  # only now: one that never began cannot be joined

    @contextmanager
    def block(self) -> Iterator[memoryview]:
        """Memory to read into, at most ``CHUNK`` bytes; its beginning may be given to ``update``.

        Fresh memory for each read costs more than the read: the kernel clears every page of it.
        """
        if not self._threads:
            yield self._ring
            return
        ring = len(self._ring)
        start = self._came % ring
        size = min(CHUNK, ring - start)
        with self._changed:
            self._changed.wait_for(lambda: ring - self._lag() >= size)
        yield self._ring[start : start + size]

    def update(self, data: Data) -> None:
        """Hash this too: bytes, or the beginning of what ``block`` lends."""
        if not self._threads:
            for hashed in self._hashes.values():
                hashed.update(data)
            self._came += len(data)
            if self._came > RING:
                self._begin()
            return
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
            self._changed.wait_for(lambda: not self._threads or self._lag() == 0)
        return {name: hashed.hexdigest() for name, hashed in self._hashes.items()}

    def close(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        # An error's traceback may hold this object, and a job the errors of thousands of files.
        self._ring = memoryview(b"")

    def _lag(self) -> int:
        return self._came - min(self._done.values(), default=self._came)

    def _work(self, name: str) -> None:
        hashed, done, ring = self._hashes[name], 0, len(self._ring)
        while True:
            with self._changed:
                while self._came == done and not self._over:
                    self._changed.wait()
                if self._over:
                    return
                start = done % ring
                count = min(self._came - done, ring - start, TURN)
            hashed.update(self._ring[start : start + count])
            with self._changed:
                done = self._done[name] = done + count
                self._changed.notify_all()


def digests(
    path: Path, algorithms: Iterable[str], advance: Callable[[int], None] = lambda count: None
) -> dict[str, str]:
    """Algorithm → hex of a whole file. ``advance`` is told how many bytes were read so far."""
    with (
        path.open("rb", buffering=0) as file,
        Digester(algorithms, os.fstat(file.fileno()).st_size) as digester,
    ):
        done = 0
        while True:
            with digester.block() as block:
                count = file.readinto(block)
                if not count:
                    return digester.result()
                digester.update(block[:count])
            done += count
            advance(done)
