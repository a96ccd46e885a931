"""A Dask cluster of processes on this machine, which lives no longer than the job.

Its scratch folder lies beside the packs and is held by a lock, so that the next job can tell what a
killed one left from what another is using.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from dsets import locks
from dsets.errors import PrepareError
from dsets.prepare import folder

#: What ends a job in good order.
_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def connected(workers: int, scratch: Path, tell: Callable[[str], None]) -> Iterator[Any]:
    """A client of a cluster of ``workers`` processes of one thread each, until the block ends.

    ``scratch`` takes their own files. ``tell`` gets a line for people.

    Raises:
        PrepareError: they did not start, twice.
    """
    stack = ExitStack()
    resource_tracker.ensure_running()  # whichever thread starts it hears Ctrl-C from then on
    try:
        with _deaf():  # half a cluster could not be closed
            cluster = stack.enter_context(_started(workers, scratch, tell))
            client = stack.enter_context(distributed().Client(cluster, set_as_default=False))
        yield client
    finally:
        with _deaf():
            stack.close()


def _started(workers: int, scratch: Path, tell: Callable[[str], None]) -> Any:
    """The cluster. A worker that is killed later is replaced; one that is while it starts ends the
    start of all, which is therefore tried twice."""
    for again in (True, False):
        try:
            return distributed().LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                local_directory=str(scratch),
                silence_logs=logging.CRITICAL,
            )
        except (OSError, RuntimeError, TimeoutError) as error:
            if again:
                tell(f"the worker processes did not start ({first_line(error)}); once more")
                continue
            raise PrepareError(
                "the worker processes did not start",
                where=f"{workers} workers",
                got=first_line(error),
                remedy="was one killed, or memory short? Run the same command again",
            ) from error
    raise AssertionError("unreachable")


@contextmanager
def _deaf() -> Iterator[None]:
    """Answer Ctrl-C and SIGTERM at the end of the block; threads and processes begun in it never
    hear Ctrl-C. (SIGTERM they must: by it they are ended.)

    A terminal sends it to the workers, too. They would die with tracebacks while this process, the
    only one to decide, is still ending the job.
    """
    heard: list[int] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        # Other threads of this process do not block them, so its main thread may have to answer.
        handlers = {number: signal.getsignal(number) for number in _ENDING}
        handlers = {number: one for number, one in handlers.items() if callable(one)}
    for number in handlers:
        signal.signal(number, lambda number, _: heard.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if heard:
        handlers[heard[0]](heard[0], None)


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """A folder for the workers' own files below ``root``, held as long as it is used."""
    with folder.writing(root):
        root.mkdir(parents=True, exist_ok=True)
    mine = root / f".dask-{os.getpid()}.part"
    with locks.holding(mine, folder=True):
        try:
            yield mine
        finally:
            shutil.rmtree(mine, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove the scratch folders that killed jobs left below ``root``."""
    for left in root.glob(".dask-*.part"):
        with suppress(OSError), locks.holding(left, folder=True, wait=False):
            shutil.rmtree(left, ignore_errors=True)


def distributed() -> Any:
    """Dask's library, imported when a cluster is wanted. Any: it has few types of its own."""
    import distributed

    return distributed


def first_line(error: BaseException) -> str:
    """What an error of Dask's says first; the rest is for its developers."""
    return str(error).strip().split("\n")[0] or type(error).__name__
