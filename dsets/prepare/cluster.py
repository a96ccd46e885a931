"""Where the tasks run: in this process, in local worker processes, or on any Dask cluster.

All three are the same call, ``tasks(plan, numbers)``, which yields the records of these shards of
a pack as they are finished; each element of ``numbers`` is one task. On a cluster only a few tasks
a worker are in flight at any time, so neither the scheduler nor this process grows with the number
of shards.
"""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import metadata
from itertools import chain
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from dsets import locks
from dsets.cores import cores
from dsets.errors import PrepareError, UsageError
from dsets.prepare import folder
from dsets.prepare.ledger import Record
from dsets.prepare.planning import PackPlan
from dsets.prepare.task import make_shards, shards

#: What Dask takes for a scheduler's address; for anything else it looks up names for minutes.
_ADDRESS = re.compile(r"(?:[a-z]+://)?(?:\[[0-9a-fA-F:]+\]|[^/:\s]+):\d{1,5}")

Tasks = Callable[[PackPlan, Sequence[Sequence[int]]], Iterator[Record]]

#: Tasks in flight for each thread of the cluster: one running, one waiting.
_AHEAD = 2
_CONNECT_S = 30
#: How often the workers are counted, and how long a job waits while there are none.
_LOOK_S = 2
_LOST_S = 300
#: What ends a job in good order.
_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def tasks(
    workers: int | None, scheduler: str | None, root: Path, tell: Callable[[str], None]
) -> Iterator[Tasks]:
    """The function that runs a pack's tasks; whatever it needs is up until the block ends.

    Neither ``workers`` nor ``scheduler``: this process, with threads inside each task.
    ``workers``: that many processes on this machine. ``scheduler``: the address of a cluster.
    ``root`` takes the workers' scratch folder. ``tell`` gets a line for people.

    Raises:
        UsageError: both are given, or ``workers`` is not positive.
        PrepareError: the scheduler cannot be reached, or has no workers.
    """
    if workers is not None and scheduler is not None:
        raise UsageError("give either workers or a scheduler", got="both")
    if workers is not None and workers < 1:
        raise UsageError("bad number of workers", expected="at least 1", got=workers)
    if scheduler is not None and not _ADDRESS.fullmatch(scheduler):
        raise UsageError("bad scheduler", expected="an address like tcp://host:8786", got=scheduler)
    if workers is None and scheduler is None:
        yield _here
        return
    with ExitStack() as stack, _quiet():
        if scheduler is not None:
            client = stack.enter_context(_connected(scheduler))
            threads = 1  # a cluster's owner has given the cores to Dask's own threads
        elif workers is not None:
            scratch = stack.enter_context(_scratch(root))
            client = stack.enter_context(_local(workers, scratch, tell))
            threads = max(1, cores() // workers)
        tell(_dashboard(client))
        yield lambda plan, numbers: _on(client, plan, numbers, threads, tell)


def _dashboard(client: Any) -> str:
    """Where the cluster shows itself, or why it does not: the scheduler's host is asked."""
    try:
        link = client.dashboard_link
    except KeyError:  # started without one
        link = None
    if not link:
        return "the Dask cluster has no dashboard"
    try:
        client.run_on_scheduler(metadata.version, "bokeh")
    except metadata.PackageNotFoundError:
        return "the Dask cluster has no dashboard: bokeh is not installed where its scheduler runs"
    except Exception as error:  # whatever a stranger's scheduler answers; no reason to stop
        return f"Dask's dashboard, if it has one: {link} (asked: {_first_line(error)})"
    return f"Dask's dashboard: {link}"


def _here(plan: PackPlan, numbers: Sequence[Sequence[int]]) -> Iterator[Record]:
    return shards(plan, chain.from_iterable(numbers), cores())


def _on(
    client: Any,
    plan: PackPlan,
    numbers: Sequence[Sequence[int]],
    threads: int,
    tell: Callable[[str], None],
) -> Iterator[Record]:
    distributed = _distributed()
    waiting = deque(numbers)
    running: set[Any] = set()
    crew = _Crew(client, tell)
    try:
        while waiting or running:
            for _ in range(min(len(waiting), _AHEAD * crew.threads() - len(running))):
                some = waiting.popleft()
                running.add(client.submit(make_shards, plan, some, threads, pure=False))
            try:
                with client.as_current():
                    done, running = distributed.wait(running, _LOOK_S, "FIRST_COMPLETED")
            except TimeoutError:
                continue  # to look after the workers
            for future in done:
                yield from future.result()
    except distributed.KilledWorker as error:
        raise PrepareError(
            "a worker died again and again on one shard",
            where=plan.part,
            got=f"{error.task}, last on {error.last_worker.address}",
            remedy="was it out of memory? Finished shards are kept; try fewer workers",
        ) from error
    except (distributed.comm.CommClosedError, distributed.CancelledError, _Lost) as error:
        got = str(error)
        # What Dask says of these is of its own parts: sockets, and names of tasks.
        if isinstance(error, distributed.comm.CommClosedError):
            got = "the connection to the scheduler broke"
        elif isinstance(error, distributed.CancelledError):
            got = "the scheduler has gone, or forgot the tasks under way"
        raise PrepareError(
            "lost the Dask cluster",
            where=plan.part,
            got=got,
            remedy="finished shards are kept: run the same command again",
        ) from error


class _Lost(Exception):
    """The cluster does not answer, or has had no worker for long; said in a sentence."""


class _Crew:
    """The threads of a cluster's workers, who come, die and come back while a job runs."""

    def __init__(self, client: Any, tell: Callable[[str], None]) -> None:
        self._client = client
        self._tell = tell
        self._threads = 1
        self._looked = self._seen = -math.inf

    def threads(self) -> int:
        """How many there are, at least 1; asked for now and then only.

        Raises:
            _Lost: there have been none for long.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return max(1, self._threads)
        self._looked = now
        silent = "the scheduler does not answer"
        if self._client.status == "closed":  # it gave up, while nobody took records from us
            raise _Lost(silent)
        try:
            found: int = sum(self._client.nthreads().values())
        except (OSError, TimeoutError) as error:
            raise _Lost(silent) from error
        if found or self._seen == -math.inf:
            self._seen = now
        elif now - self._seen > _LOST_S:
            raise _Lost(f"there have been no workers for {_LOST_S} seconds")
        elif self._threads:
            self._tell("the cluster has no workers at the moment; waiting for one")
        self._threads = found
        return max(1, found)


@contextmanager
def _local(workers: int, scratch: Path, tell: Callable[[str], None]) -> Iterator[Any]:
    stack = ExitStack()
    resource_tracker.ensure_running()  # whichever thread starts it hears Ctrl-C from then on
    try:
        with _deaf():  # half a cluster could not be closed
            cluster = stack.enter_context(_started(workers, scratch, tell))
            client = stack.enter_context(_distributed().Client(cluster, set_as_default=False))
        yield client
    finally:
        with _deaf():
            stack.close()


def _started(workers: int, scratch: Path, tell: Callable[[str], None]) -> Any:
    """The cluster. A worker that is killed later is replaced; one that is while it starts ends the
    start of all, which is therefore tried twice."""
    for again in (True, False):
        try:
            return _distributed().LocalCluster(
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
                tell(f"the worker processes did not start ({_first_line(error)}); once more")
                continue
            raise PrepareError(
                "the worker processes did not start",
                where=f"{workers} workers",
                got=_first_line(error),
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
def _connected(address: str) -> Iterator[Any]:
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise PrepareError("cannot reach the Dask scheduler", where=address, got=error) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_CONNECT_S)
        except TimeoutError as error:
            raise PrepareError("the Dask scheduler has no workers", where=address) from error
        yield client


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask says what happens in its log; we say it as errors and events."""
    import dask

    name = _distributed().__name__  # importing it gives some of its loggers levels of their own
    loggers = [logging.getLogger(name)]
    loggers += [
        logging.getLogger(n)
        for n in list(logging.root.manager.loggerDict)
        if n.startswith(f"{name}.")
    ]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with dask.config.set({"distributed.logging": {"distributed": "critical"}}):
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def _distributed() -> Any:
    """The library, imported when a cluster is wanted. Any: it has few types of its own."""
    import distributed

    return distributed
