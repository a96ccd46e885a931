"""Threads that work ahead of a consumer and deliver in order.

They know the shared state below but never the ``Prefetch`` itself, so that dropping it, by accident
or by an exception, ends them; so do ``close`` and the interpreter's exit. Nobody polls: the
consumer waits on one condition, threads without a job on the crew's, both of one lock.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from dsets.errors import StreamError
from dsets.stream.crew import Crew

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BaseException


class _Shared(Generic[Job, Result]):
    """What the threads and the consumer share."""

    def __init__(
        self,
        jobs: Iterator[Job],
        work: Callable[[Job], Result],
        ahead: int,
        interrupt: Callable[[], bool] | None,
        crew: Crew,
    ) -> None:
        self.jobs = jobs
        self.crew = crew
        self.interrupt = interrupt
        self.work = work
        self.ahead = ahead
        self.lock = crew.lock  # guards all that follows
        self.ready = threading.Condition(self.lock)
        self.planning = False  # while a job is drawn: one at a time, so that jobs keep their order
        self.done: dict[int, Result | _Failure] = {}
        self.claimed = 0
        self.delivered = 0
        self.failed = False  # nothing more is claimed
        self.closed = False
        self.threads: list[threading.Thread] = []
        self.process = os.getpid()

    def claim(self) -> tuple[int, Job] | None:
        """The next job and its number, once there is room for its result; None at the end. Until
        then it helps others with theirs."""
        while True:
            with self.lock:
                self.crew.idle.wait_for(self._is_needed)
                if self.failed or self.closed:
                    return None
                helping = self.crew.wanted
                if helping and self._has_room():  # it may have been woken for that: pass it on
                    self.crew.idle.notify()
                if not helping:
                    number = self.claimed
                    self.claimed += 1
                    self.planning = True
            if not helping:
                return self._draw(number)
            self.crew.help()

    def _is_needed(self) -> bool:
        return self.failed or self.closed or self._has_room() or self.crew.wanted

    def _has_room(self) -> bool:
        return not self.planning and self.claimed - self.delivered < self.ahead

    def _draw(self, number: int) -> tuple[int, Job] | None:
        try:
            drawn = number, next(self.jobs)
        except BaseException as error:  # whatever it is, the consumer must hear of it
            self.put(number, _Failure(error))
            return None
        with self.lock:
            self.planning = False
            if self._has_room():
                self.crew.idle.notify()
        return drawn

    def put(self, number: int, result: Result | _Failure) -> None:
        with self.lock:
            if not self.closed:
                self.done[number] = result
            if number == self.delivered:
                # There is one consumer; but one that was interrupted may have left itself behind
                # among those that wait, where it would be notified in the place of the living.
                self.ready.notify_all()
            if isinstance(result, _Failure):
                self.failed = True
                self.crew.idle.notify_all()

    def wait(self) -> None:
        """Until the next result is there, or all is over."""
        with self.lock:
            self.ready.wait_for(self.is_ready)

    def is_ready(self) -> bool:
        return self.closed or self.delivered in self.done

    def take(self) -> Result | _Failure:
        """The next result in order; waits for it."""
        with self.lock:
            self.wait()
            if self.closed:
                raise StreamError("the stream was closed while its next batch was awaited")
            result = self.done.pop(self.delivered)
            self.delivered += 1
            if self._has_room():
                self.crew.idle.notify()
            return result


def _run(shared: _Shared[Job, Result]) -> None:
    """A thread's life."""
    while (claimed := shared.claim()) is not None:
        number, job = claimed
        try:
            shared.put(number, shared.work(job))
        except BaseException as error:  # raised again where the consumer takes this result
            shared.put(number, _Failure(error))


def _stop(shared: _Shared[Job, Result]) -> None:
    """End the threads and wait until they have, unless ``interrupt`` forbids to wait; a finaliser
    may call this in any thread."""
    if shared.process != os.getpid():
        return  # a forked child: the threads stayed with the parent, its locks may be held for ever
    with shared.lock:
        shared.closed = True
        shared.done.clear()
        shared.ready.notify_all()
        shared.crew.idle.notify_all()
    if shared.interrupt is not None and not shared.interrupt():
        return
    if threading.current_thread() not in shared.threads:
        for thread in shared.threads:
            thread.join()


class Prefetch(Generic[Job, Result]):
    """``work`` done on endless ``jobs`` by threads, at most ``ahead`` results before the consumer.

    A failure of ``work``, or of drawing a job, is raised by ``get`` in its turn; then all is over.
    At the end ``interrupt`` is called, which makes ``work`` that waits for something give up, and
    tells whether this may be waited for: not where the thread that ends it has what it waits for.
    Threads that have no job help the ``crew``, among whom ``work`` may share itself out.
    """

    def __init__(
        self,
        jobs: Iterator[Job],
        work: Callable[[Job], Result],
        threads: int,
        ahead: int,
        interrupt: Callable[[], bool] | None = None,
        crew: Crew | None = None,
    ) -> None:
        self._shared = shared = _Shared(jobs, work, ahead, interrupt, crew or Crew())
        self._finalizer = weakref.finalize(self, _stop, shared)  # at exit, too: before the daemons
        for started in range(threads):
            name = f"dsets-stream-{started}"
            thread = threading.Thread(target=_run, args=(shared,), name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # a limit on processes or memory
                self.close()
                raise StreamError(
                    "the system starts no more threads",
                    where="stream",
                    expected=threads,
                    got=started,
                    remedy="give the stream fewer (threads=…), or raise the limit on processes",
                ) from error
            shared.threads.append(thread)  # only now: one that never began cannot be waited for

    @property
    def forked(self) -> bool:
        """True in a child process, where the threads do not exist."""
        return self._shared.process != os.getpid()

    @property
    def ready(self) -> bool:
        """Whether ``get`` need not wait."""
        return self._shared.is_ready()

    def wait(self) -> None:
        """Until ``get`` need not wait."""
        self._shared.wait()

    def get(self) -> Result:
        """The next result. Raises what the job raised, in the job's turn."""
        result = self._shared.take()
        if isinstance(result, _Failure):
            self.close()
            try:
                raise result.error
            finally:
                del result  # else error, traceback and this frame refer to each other
        return result

    def close(self) -> None:
        """End the threads and forget what they have done. Idempotent."""
        self._finalizer()
