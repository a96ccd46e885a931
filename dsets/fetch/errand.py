"""One file: wait for its lock, look again, then address after address, try after try."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dsets.errors import BusyError, DsetsError, FetchError, SpaceError
from dsets.fetch import receipts
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.part import Part, locked, part_size, resumable
from dsets.fetch.planning import Step, found
from dsets.fetch.side_by_side import Lanes
from dsets.fetch.sources import shown
from dsets.fetch.stop import Stop
from dsets.fetch.transfer import attempt
from dsets.fetch.wire import Patience, Wire
from dsets.manifest import File
from dsets.progress import Event, Progress

ENOUGH = 1 << 20  # a try that brought this much was no failure of the address
TELL_S = 0.1  # between two events of one file
LOCKED_S = 0.25  # between two looks at a part that another process holds
REMEDY = "give the same command again, which keeps what came, or name a mirror (--mirror)"


def run(
    step: Step, patience: Patience, stop: Stop, tell: Progress, lanes: Lanes | None = None
) -> None:
    """Bring the file of one step here, or find that another process did.

    Raises:
        FetchError: no address gave it, or it cannot be written; SpaceError where the disk is full.
        Stopped: the work was called off.
    """
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
                receipt = _fetch(step, part, patience, stop, tell, lanes or Lanes())
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
    step: Step, part: Part, patience: Patience, stop: Stop, tell: Progress, lanes: Lanes
) -> receipts.Receipt:
    tried: list[tuple[str, str]] = []
    told = 0.0  # the first bytes are told at once

    def advanced() -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= TELL_S:
            told = now
            tell(Event(step.file.name, part.size, step.file.bytes))

    from dsets.fetch.connection import session  # requests loads when it is needed

    with session() as http:
        wire = Wire(http, patience, stop, advanced, lanes)
        for address in step.addresses:
            try:
                _insist(address, part, wire, tell)
                return part.finish(shown(address))
            except (Refused, Cut) as error:
                tried.append((shown(address), str(error)))
                message = ": ".join(tried[-1])
                tell(Event(step.file.name, part.size, step.file.bytes, message))
    failure = FetchError(
        "no address gave the file",
        where=step.file.name,
        expected=_expected(step.file),
        got="; ".join(map(": ".join, tried)),
        remedy=REMEDY,
    )
    failure.tried = tuple(tried)
    raise failure


def _expected(file: File) -> str | None:
    """Size and strongest digest, as far as they are published."""
    size = () if file.bytes is None else (f"{file.bytes:,} bytes",)
    digests = [f"{name} {value}" for name, value in receipts.published(file).items()]
    return " of ".join((*size, *digests[:1])) or None


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
            wire.lanes.leave_alone(address)
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
