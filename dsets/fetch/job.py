"""Carrying a plan out: several files at once, address after address, try after try."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from dsets.errors import BusyError, DsetsError, FetchError, OfflineError, SpaceError
from dsets.fetch import receipts
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.part import Part, locked, part_size, resumable
from dsets.fetch.planning import Plan, Step, found
from dsets.fetch.sources import local, shown
from dsets.fetch.stop import Stop, Stopped
from dsets.fetch.transfer import Patience, Wire, attempt, session
from dsets.progress import Event, Progress, ignore

OFFLINE = "DSETS_OFFLINE"
ENOUGH = 1 << 20  # a try that brought this much was no failure of the address
TELL_S = 0.1  # between two events of one file
LOCKED_S = 0.25  # between two looks at a part that another process holds


def files(
    plan: Plan,
    *,
    offline: bool = False,
    progress: Progress = ignore,
    jobs: int = 4,
    patience: Patience | None = None,
) -> tuple[Path, ...]:
    """Bring every file of the plan here and return their paths, in the plan's order.

    One failing file does not keep the others from arriving. ``progress`` is called by one thread at
    a time. With ``offline``, or ``$DSETS_OFFLINE`` set to anything but 0, only ``file://``
    addresses are used. A file without a published digest is accepted as it came, and its sha256
    is written in its receipt.

    Raises:
        OfflineError: files are missing and nothing may be fetched.
        SpaceError: the disk has not enough room.
        FetchError: a file could not be had; the message says what each address gave.
    """
    offline = offline or os.environ.get(OFFLINE, "0") not in ("", "0")
    steps = [_usable(step, offline) for step in plan.steps]
    _check_access(plan, steps, offline)
    _check_space(plan)
    tell = _one_at_a_time(progress)
    for step in steps:
        have = step.action == "have"
        tell(Event(step.file.name, step.have_bytes, step.file.bytes, finished=have))
    stop = Stop()
    with ThreadPoolExecutor(max(jobs, 1), "dsets-fetch") as pool:
        work = [pool.submit(_file, step, patience or Patience(), stop, tell) for step in steps]
        try:
            pending = set(work)
            while pending and not any(_fatal(future) for future in work):
                _, pending = wait(pending, return_when=FIRST_COMPLETED)
        finally:
            # Ctrl-C, or a failure that concerns all: end what runs, leave the parts.
            stop.call()
            pool.shutdown(wait=True, cancel_futures=True)
    _raise_failures([error for future in work if (error := _error(future))])
    return tuple(step.path for step in steps)


def _usable(step: Step, offline: bool) -> Step:
    if not offline:
        return step
    return replace(step, addresses=tuple(a for a in step.addresses if local(a) is not None))


def _check_access(plan: Plan, steps: list[Step], offline: bool) -> None:
    lacking = [step.file.name for step in steps if step.action != "have" and not step.addresses]
    if not lacking:
        return
    names = ", ".join(lacking)
    if offline:
        raise OfflineError(
            f"offline, and not all files are here: {names}",
            where=plan.manifest.name,
            remedy=f"fetch them when online, or give --mirror a folder; they belong in "
            f"{plan.folder}",
        )
    reason = {
        "login": "needs a login",
        "on request": "is given on request only",
        "withdrawn": "was withdrawn by its publishers",
        "open": "names no address",
    }[plan.manifest.access]
    page = plan.manifest.homepage or f"`dsets show {plan.manifest.name}`"
    raise FetchError(
        f"the dataset {reason}; missing: {names}",
        where=plan.manifest.name,
        remedy=f"see {page}, put the files in {plan.folder}, or name a mirror that you may use "
        "(--mirror)",
    )


def _check_space(plan: Plan) -> None:
    folder = plan.folder.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if plan.need_bytes > free:
        raise SpaceError(
            "not enough room on the disk",
            where=plan.folder,
            expected=f"{plan.need_bytes} bytes free",
            got=free,
            remedy="make room, or set DSETS_HOME to a folder on a larger disk",
        )


def _one_at_a_time(progress: Progress) -> Progress:
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            progress(event)

    return tell


def _file(step: Step, patience: Patience, stop: Stop, tell: Progress) -> None:
    """One file: wait for its lock, look again, then try the addresses."""
    if step.action == "have":
        if step.receipt and receipts.read(step.path) != step.receipt:
            # A store that cannot be written can be used; its files are hashed each time.
            with suppress(OSError):
                receipts.write(step.path, step.receipt)
        return
    try:
        with _hold(step, stop, tell) as part:
            if receipt := found(step.file, step.path):
                receipts.write(step.path, receipt)
            else:
                part.recover(resumable(step.file, step.path, step.addresses), stop)
                receipt = _fetch(step, part, patience, stop, tell)
            tell(Event(step.file.name, receipt.bytes, receipt.bytes, finished=True))
    except DsetsError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpaceError(
                "the disk is full; what came so far is kept",
                where=step.path,
                remedy="make room and give the same command again",
            ) from error
        raise FetchError(f"cannot be written: {error.strerror}", where=step.path) from error


@contextmanager
def _hold(step: Step, stop: Stop, tell: Progress) -> Iterator[Part]:
    """The step's part once nobody else has it: flock cannot be waited for and called off."""
    told = False
    while True:
        try:
            holder = locked(step.file, step.path)
            part = holder.__enter__()
        except BusyError:
            size = part_size(step.path)
            message = "" if told else "another process is fetching it; waiting"
            tell(Event(step.file.name, size, step.file.bytes, message))
            told = True
            stop.wait(LOCKED_S)
            continue
        break
    try:
        yield part
    finally:
        holder.__exit__(None, None, None)


def _fetch(
    step: Step, part: Part, patience: Patience, stop: Stop, tell: Progress
) -> receipts.Receipt:
    given: list[str] = []
    told = 0.0  # the first bytes are told at once

    def advanced() -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= TELL_S:
            told = now
            tell(Event(step.file.name, part.size, step.file.bytes))

    with session() as http:
        wire = Wire(http, patience, stop, advanced)
        for address in step.addresses:
            try:
                _insist(address, part, wire, tell)
                return part.finish(shown(address))
            except (Refused, Cut) as error:
                given.append(f"{shown(address)}: {error}")
                tell(Event(step.file.name, part.size, step.file.bytes, given[-1]))
    raise FetchError("no address gave the file", where=step.file.name, got="; ".join(given))


def _insist(address: str, part: Part, wire: Wire, tell: Progress) -> None:
    """Come back to an address until it gave the right bytes, refused, or failed too often."""
    file = part.file
    failures, reached, started_over = 0, part.size, False
    while True:
        try:
            if not part.complete:
                attempt(address, part, wire)
            wrong = receipts.mismatch(file, part.size, part.digests())
            if wrong is None:
                return
            once_more = part.pieced and not started_over
            part.clear()
            if not once_more:
                raise Refused(f"sent {wrong}; thrown away")
            started_over = True
            message = f"the pieces do not fit together ({wrong}); starting over"
            tell(Event(file.name, 0, file.bytes, message))
        except Cut as cut:
            if part.size - reached >= ENOUGH:
                failures = 0
            reached = max(reached, part.size)
            failures += 1
            if failures >= wire.patience.tries:
                raise
            pause = wire.patience.pause(failures, cut.retry_after, random.random())
            message = f"{shown(address)}: {cut}; trying again in {pause:.1f} s"
            tell(Event(file.name, part.size, file.bytes, message))
            wire.stop.wait(pause)


def _error(future: Future[None]) -> BaseException | None:
    return future.exception() if future.done() and not future.cancelled() else None


def _fatal(future: Future[None]) -> bool:
    error = _error(future)
    return error is not None and (
        not isinstance(error, FetchError) or isinstance(error, SpaceError)
    )


def _raise_failures(errors: list[BaseException]) -> None:
    """The failure that stopped the others, if there was one; else all that did not arrive."""
    failures = [error for error in errors if isinstance(error, FetchError)]
    for error in errors:
        if isinstance(error, SpaceError) or not isinstance(error, (FetchError, Stopped)):
            raise error
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise FetchError(
            f"{len(failures)} files could not be fetched", got=" | ".join(map(str, failures))
        )
