"""Digests beside the work: each algorithm in a thread of its own (hashlib lets go of the GIL)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import cast

from dsets.closing import Closing

CHUNK = 1 << 20
BLOCK = 1 << 18  # what stays in a core's cache between the socket, the file and the hash
BLOCKS = 16  # of one file: how far a slower algorithm may lag behind

Data = bytes | memoryview


class Digester(Closing):
    """Hashes what ``update`` is given, in the background; ``result`` waits until all of it is done.

    A context manager: its threads end with the block.
    """

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        # Queues of one kind of lock less than queue.Queue, whose cost shows at a GB/s. What may
        # wait in them is bounded by the blocks that there are.
        self._queues: dict[str, SimpleQueue[memoryview | Event | None]] = {}
        self._threads: list[Thread] = []
        self._free: SimpleQueue[bytearray] = SimpleQueue()
        self._made = 0
        self._users: dict[int, int] = {}  # of each block that is lent, by its identity
        self._lock = Lock()
        for name in self._hashes:
            self._queues[name] = SimpleQueue()
            thread = Thread(target=self._work, args=(name,), name=f"dsets-hash-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    @contextmanager
    def block(self) -> Iterator[memoryview]:
        """Memory to read into, lent while the block runs and until what was updated is hashed.

        Fresh memory for each read costs more than the read: the kernel clears every page of it.
        """
        memory = self._memory()
        self._users[id(memory)] = 1
        try:
            yield memoryview(memory)
        finally:
            self._done(memory)

    def update(self, data: Data) -> None:
        """Hash this too: bytes, or a slice of what ``block`` lends."""
        if isinstance(data, bytes):
            for start in range(0, len(data), BLOCK):
                piece = data[start : start + BLOCK]
                with self.block() as block:
                    block[: len(piece)] = piece
                    self.update(block[: len(piece)])
            return
        with self._lock:
            self._users[id(data.obj)] += len(self._queues)
        for queue in self._queues.values():
            queue.put(data)

    def result(self) -> dict[str, str]:
        """Algorithm → lower-case hex, of everything so far."""
        for queue in self._queues.values():
            queue.put(done := Event())
            done.wait()
        return {name: hashed.hexdigest() for name, hashed in self._hashes.items()}

    def close(self) -> None:
        for queue in self._queues.values():
            queue.put(None)
        for thread in self._threads:
            thread.join()

    def _memory(self) -> bytearray:
        if self._free.empty() and self._made < BLOCKS:
            self._made += 1
            return bytearray(BLOCK)
        return self._free.get()

    def _done(self, memory: bytearray) -> None:
        with self._lock:
            self._users[id(memory)] -= 1
            if self._users[id(memory)]:
                return
        self._free.put(memory)

    def _work(self, name: str) -> None:
        queue, hashed = self._queues[name], self._hashes[name]
        while (data := queue.get()) is not None:
            if isinstance(data, Event):
                data.set()
                continue
            hashed.update(data)
            self._done(cast("bytearray", data.obj))


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
