"""The threads that run a pipeline, a bounded way ahead of whoever waits for what they make."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class Makers:
    """So many threads; one is the caller's own. Leaving the block ends them."""

    def __init__(self, threads: int) -> None:
        self._ahead: deque[Future[Any]] = deque()
        self._most = 2 * threads
        self._pool = (
            ThreadPoolExecutor(threads, thread_name_prefix="dsets-make") if threads > 1 else None
        )

    def submit(self, call: Callable[..., T], *arguments: object) -> Future[T]:
        """Have the call made; waits for one of those before when too many are under way.

        Raises:
            Exception: what that one raised.
        """
        if self._pool is None:
            return done(call(*arguments))
        while len(self._ahead) > self._most:
            self._ahead.popleft().result()
        future = self._pool.submit(call, *arguments)
        self._ahead.append(future)
        return future

    def aside(self, call: Callable[..., T], *arguments: object) -> Future[T]:
        """Have the call made, however many are under way; for those that makers do not wait for."""
        if self._pool is None:
            return done(call(*arguments))
        return self._pool.submit(call, *arguments)

    def __enter__(self) -> Makers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Submitted calls that have not begun are cancelled when something went wrong. Those aside
        are made: whoever waits for one has begun what should be ended."""
        if self._pool is None:
            return
        if kind is not None:
            for future in self._ahead:
                future.cancel()
        self._pool.shutdown()


def done(value: T) -> Future[T]:
    """What there is already, for those who wait for it."""
    future: Future[T] = Future()
    future.set_result(value)
    return future
