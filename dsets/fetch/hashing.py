"""Digests beside the work: each algorithm in a thread of its own (hashlib lets go of the GIL)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import Queue
from threading import Thread

from dsets.closing import Closing

CHUNK = 1 << 20
WAITING = 16  # chunks that a slower algorithm may lag behind


class Digester(Closing):
    """Hashes what ``update`` is given, in the background; ``result`` waits until all of it is done.

    A context manager: its threads end with the block.
    """

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self._queues: dict[str, Queue[bytes | None]] = {}
        self._threads: list[Thread] = []
        for name in self._hashes:
            self._queues[name] = Queue(WAITING)
            thread = Thread(target=self._work, args=(name,), name=f"dsets-hash-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def update(self, data: bytes) -> None:
        for queue in self._queues.values():
            queue.put(data)

    def result(self) -> dict[str, str]:
        """Algorithm → lower-case hex, of everything so far."""
        for queue in self._queues.values():
            queue.join()
        return {name: hashed.hexdigest() for name, hashed in self._hashes.items()}

    def close(self) -> None:
        for queue in self._queues.values():
            queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, name: str) -> None:
        queue, hashed = self._queues[name], self._hashes[name]
        while (data := queue.get()) is not None:
            hashed.update(data)
            queue.task_done()


def digests(
    path: Path, algorithms: Iterable[str], advance: Callable[[int], None] = lambda count: None
) -> dict[str, str]:
    """Algorithm → hex of a whole file. ``advance`` is told how many bytes were read so far."""
    with Digester(algorithms) as digester, path.open("rb") as file:
        done = 0
        while data := file.read(CHUNK):
            digester.update(data)
            done += len(data)
            advance(done)
        return digester.result()
