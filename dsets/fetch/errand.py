"""One file: wait for its lock, look again, then address after address, try after try."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from dsets.errors import BusyError, DsetsError, FetchError, SpaceError
from dsets.fetch import ends, receipts
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.part import Part, locked, part_path, part_size, resumable
from dsets.fetch.planning import Step, found
from dsets.fetch.sessions import Sessions
from dsets.fetch.side_by_side import Lanes
from dsets.fetch.sources import shown
from dsets.fetch.stop import Stop
from dsets.fetch.transfer import attempt
from dsets.fetch.turns import Turn, Turns, Unended
from dsets.fetch.wire import Patience, Wire
from dsets.manifest import File
from dsets.progress import Event, Progress

TELL_S = 0.1  # between two events of one file
LOCKED_S = 0.25  # between two looks at a part that another process holds
REMEDY = "give the same command again, which keeps what came, or name a mirror (--mirror)"
LASTING = (
    "another try will not help; name a mirror that has it (--mirror), or bring the file with "
    "'dsets adopt'"
)


def run(
    step: Step,
    patience: Patience,
    stop: Stop,
    tell: Progress,
    sessions: Sessions,
    lanes: Lanes | None = None,
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
                with sessions.one(fresh=not step.file.digest) as http:
                    wire = Wire(http, patience, stop, _telling(step, part, tell), lanes or Lanes())
                    receipt = _fetch(step, part, wire, tell)
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


def _telling(step: Step, part: Part, tell: Progress) -> Callable[[], None]:
    """What is called with every advance, and tells the first and then now and then one."""
    told = 0.0

    def advanced() -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= TELL_S:
            told = now
            tell(Event(step.file.name, part.size, step.file.bytes))

    return advanced


def _fetch(step: Step, part: Part, wire: Wire, tell: Progress) -> receipts.Receipt:
    tried: list[tuple[str, str]] = []
    turns = Turns(step.addresses, wire.patience)
    again, reused = False, wire.session.answered
    while turn := turns.next(wire.stop):
        before = turn.begin(part.size)
        try:
            gave, note = _once(turn, part, replace(wire, patience=turns.patience(turn)), tell)
            return part.finish(shown(gave), note)
        except Refused as error:
            if reused:  # that may have been what was left of the answer before
                reused = False
                wire.session.hang_up()
                continue
            again = again or error.later
            failure, then = str(error), turns.forgive(turn, error)
        except Cut as cut:
            kept = part.size - before
            only_here = not part.file.digest and bool(
                resumable(part.file, part.path, (turn.address,))
            )
            failure = str(cut)
            try:
                then = turns.put_off(turn, cut, kept, only_here=only_here)
            except Refused as refused:  # it wants to be left alone for too long
                turns.drop(turn)
                failure, then = str(refused), ""
            again = again or not then
        if not then:
            tried.append((shown(turn.address), failure))
        message = "; ".join(filter(None, (f"{shown(turn.address)}: {failure}", then)))
        tell(Event(step.file.name, part.size, step.file.bytes, message))
    failed = FetchError(
        "no address gave the file",
        where=step.file.name,
        expected=_expected(step.file),
        got="; ".join(map(": ".join, tried)),
        remedy=remedy(again=again),
    )
    failed.tried, failed.again = tuple(tried), again
    raise failed


def remedy(*, again: bool) -> str:
    """What to do about files that did not come; ``again``: another try may help."""
    return REMEDY if again else LASTING


def _expected(file: File) -> str | None:
    """Size and strongest digest, as far as they are published."""
    size = () if file.bytes is None else (f"{file.bytes:,} bytes",)
    digests = [f"{name} {value}" for name, value in receipts.published(file).items()]
    return " of ".join((*size, *digests[:1])) or None


def _once(turn: Turn, part: Part, wire: Wire, tell: Progress) -> tuple[str, str]:
    """Get the right bytes; which address gave them, and what the receipt should note, as a rule
    nothing.

    Pieces that do not fit together are begun again, once.
    """
    file = part.file
    if part.untold == turn.address and turn.last_resort:
        # Asked again it would send all of it again, and tell no more.
        return turn.address, ends.NOTE
    while True:
        if not part.complete:
            try:
                attempt(turn.address, part, wire, whole=turn.whole)
            finally:  # before a pause, in which a process may be killed, and before a look at it
                part.flush()
        wrong = receipts.mismatch(file, part.size, part.digests())
        if wrong is None:
            note = "" if part.ended else _judged(turn, part, wire)
            return part.untold or turn.address, note
        once_more = part.pieced and not turn.started_over
        part.clear()
        if not once_more:
            raise Refused(f"sent {wrong}; thrown away")
        turn.started_over = True
        wire.lanes.leave_alone(turn.address)
        message = f"the pieces do not fit together ({wrong}); starting over"
        tell(Event(file.name, 0, file.bytes, message))


def _judged(turn: Turn, part: Part, wire: Wire) -> str:
    """What to note of a part whose end nobody told; Cut where its format says it is not all."""
    found = ends.whole(part_path(part.path), wire.stop.check)
    if found is False:
        raise Cut(f"the connection ended after {part.size} bytes, in the middle of the file")
    if found is None and not turn.last_resort:
        part.untold = part.untold or turn.address
        raise Unended
    return "" if found else ends.NOTE
