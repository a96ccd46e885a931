"""Threads that share the making of one batch.

More threads than batches in the making would need more memory for more batches; instead several
make one together. Whoever has a batch shares out its parts and makes them itself until none is
left, so that nobody has to come for it to end; threads without a batch of their own come and take
some. Nobody polls, and nobody is woken who has nothing to do: a thread that wakes for nothing, and
sleeps again at once, makes the system keep what another waits to run on idle.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

Task = Callable[[], None]


class _Parts:
    """Parts of one batch; guarded by the crew's lock."""

    __slots__ = ("done", "error", "left", "tasks")

    def __init__(self, tasks: Sequence[Task], lock: threading.RLock) -> None:
        self.done = threading.Condition(lock)
        self.tasks = deque(tasks)  # those that nobody has begun
        self.left = len(tasks)  # those that are not done
        self.error: BaseException | None = None


class Crew:
    """``hands`` is how many threads there are for a batch."""

    def __init__(self, hands: int = 1) -> None:
        self.hands = hands
        #: Re-entrant, since a finaliser may run inside a locked region.
        self.lock = threading.RLock()
        #: What threads without a batch wait on, and nobody else.
        self.idle = threading.Condition(self.lock)
        self._open: deque[_Parts] = deque()

    @property
    def wanted(self) -> bool:
        """True while there are parts that nobody has begun."""
        return bool(self._open)

    def share(self, tasks: Sequence[Task]) -> None:
        """Do all tasks, with whoever helps; raises what one of them raised, when none runs."""
        parts = _Parts(tasks, self.lock)
        with self.lock:
            self._open.append(parts)
            self.idle.notify(len(tasks) - 1)
        while self._one(parts):
            pass
        with self.lock:
            parts.done.wait_for(lambda: parts.left == 0)
        error, parts.error = parts.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # else error, traceback and this frame refer to each other

    def help(self) -> None:
        """Do a task of another thread's batch, if there is one."""
        with self.lock:
            parts = self._open[0] if self._open else None
        if parts is not None:
            self._one(parts)

    def _one(self, parts: _Parts) -> bool:
        """Do a task; False when all have been begun."""
        with self.lock:
            if not parts.tasks:
                return False
            task = parts.tasks.popleft()
            if not parts.tasks:
                self._open.remove(parts)
        try:
            task()
        except BaseException as error:  # raised again in the thread that has the batch
            self._done(parts, error)
        else:
            self._done(parts, None)
        return True

    def _done(self, parts: _Parts, error: BaseException | None) -> None:
        with self.lock:
            parts.left -= 1
            if error is not None:
                parts.error = error
                if parts.tasks:  # nobody needs them any more
                    parts.left -= len(parts.tasks)
                    parts.tasks.clear()
                    self._open.remove(parts)
            if parts.left == 0:
                parts.done.notify()
