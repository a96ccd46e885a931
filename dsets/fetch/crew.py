"""Tasks in a few threads that nobody has to wait for.

A pool of the standard library would be joined when the interpreter ends, and a thread that asks a
silent server, or a name server, cannot be woken: Ctrl-C would take as long as the time-outs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from queue import Empty, SimpleQueue
from threading import Thread

from dsets.fetch.stop import Stop, Stopped

GRACE_S = 2.0  # what threads get to end cleanly once they are told to stop


def run(
    tasks: Sequence[Callable[[], None]], threads: int, stop: Stop
) -> Generator[BaseException | None, None, None]:
    """Run the tasks, ``threads`` at once, and yield what each ended with, in the order of ending.

    Where ``stop`` is called meanwhile, a ``Stopped`` is yielded at once, whatever the tasks do.
    When the consumer leaves, whether it has enough or was interrupted, ``stop`` is called, tasks
    not begun are dropped, and threads still busy after ``GRACE_S`` are left to their time-outs.
    """
    waiting: SimpleQueue[Callable[[], None]] = SimpleQueue()
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    for task in tasks:
        waiting.put(task)
    crew = [
        Thread(target=_work, args=(waiting, ended), name=f"dsets-fetch-{number}", daemon=True)
        for number in range(min(threads, len(tasks)))
    ]
    try:
        with stop.waking(lambda: ended.put(Stopped())):
            for thread in crew:
                thread.start()
            for _ in tasks:
                yield ended.get()
    finally:
        stop.call()
        while _taken(waiting):
            pass
        deadline = time.monotonic() + GRACE_S
        for thread in crew:
            thread.join(max(deadline - time.monotonic(), 0.0))


def _work(
    waiting: SimpleQueue[Callable[[], None]], ended: SimpleQueue[BaseException | None]
) -> None:
    while task := _taken(waiting):
        try:
            task()
        except BaseException as error:
            ended.put(error)
        else:
            ended.put(None)


def _taken(waiting: SimpleQueue[Callable[[], None]]) -> Callable[[], None] | None:
    try:
        return waiting.get_nowait()
    except Empty:
        return None
