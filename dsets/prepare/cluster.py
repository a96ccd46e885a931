"""Where the tasks run: in this process, in local worker processes, or on any Dask cluster.

All three are the same call, ``tasks(plan, numbers)``, which yields the records of these shards of
a pack as they are finished; each element of ``numbers`` is one task. On a cluster only a few tasks
a worker are in flight at any time, so neither the scheduler nor this process grows with the number
of shards.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from dsets.cores import cores
from dsets.errors import PrepareError, UsageError
from dsets.prepare import local
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
_SILENT = "the scheduler does not answer"


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
            scratch = stack.enter_context(local.scratch(root))
            client = stack.enter_context(local.connected(workers, scratch, tell))
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
        return f"Dask's dashboard, if it has one: {link} (asked: {local.first_line(error)})"
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
    distributed = local.distributed()
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
        if self._client.status == "closed":  # it gave up, while nobody took records from us
            raise _Lost(_SILENT)
        try:
            found: int = sum(self._client.nthreads().values())
        except (OSError, TimeoutError) as error:
            raise _Lost(_SILENT) from error
        if found or self._seen == -math.inf:
            self._seen = now
        elif now - self._seen > _LOST_S:
            raise _Lost(f"there have been no workers for {_LOST_S} seconds")
        elif self._threads:
            self._tell("the cluster has no workers at the moment; waiting for one")
        self._threads = found
        return max(1, found)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    distributed = local.distributed()
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise PrepareError("cannot reach the Dask scheduler", where=address, got=error) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_CONNECT_S)
        except TimeoutError as error:
            raise PrepareError("the Dask scheduler has no workers", where=address) from error
        except OSError as error:
            raise PrepareError(
                "lost the Dask scheduler before it had workers", where=address, got=_SILENT
            ) from error
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask says what happens in its log; we say it as errors and events."""
    import dask

    # Importing it gives some of its loggers levels of their own.
    name = local.distributed().__name__
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
