"""Whose turn it is among a file's addresses: the next one as soon as one fails, and back again.

An address that brought much and was merely cut goes on; so does one whose part nobody else may
continue. One that was silent or trickled has had its time: the others come first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dsets.fetch.answers import Cut, Misplaced, Refused
from dsets.fetch.stop import Stop
from dsets.fetch.wire import Patience

ENOUGH = 1 << 20  # a try that brought this much was no failure of the address


class Unended(Cut):
    """The file came, and nothing tells whether all of it did; another address may."""

    def __init__(self) -> None:
        super().__init__("nothing tells whether all of the file came")


@dataclass(slots=True)
class Turn:
    """One address. ``since``: when the first of its ``failures`` was. ``reached``: how large the
    part was at most in its hands.

    ``whole``: it answers wrongly to ranges, and is asked for the whole file, after the others.
    ``last_resort``: the others are given up, or tell no end either.
    """

    address: str
    number: int
    failures: int = 0
    since: float = 0.0
    refusals: int = 0
    ready: float = 0.0
    reached: int = 0
    started_over: bool = False
    whole: bool = False
    unended: bool = False
    last_resort: bool = False

    def begin(self, size: int) -> int:
        """The size from which on what comes counts: not what was had before and begun again."""
        self.reached = max(self.reached, size)
        return self.reached


class Turns:
    def __init__(self, addresses: Sequence[str], patience: Patience) -> None:
        self._patience = patience
        self._left = [Turn(address, number) for number, address in enumerate(addresses)]
        self._held: Turn | None = None

    def next(self, stop: Stop) -> Turn | None:
        """The address to ask now, once it may be asked; None when all were given up."""
        if not self._left:
            return None
        wanted = [self._held] if self._held else self._left
        if (wait := min(one.ready for one in wanted) - time.monotonic()) > 0:
            stop.wait(wait)
        now = time.monotonic()
        ready = [one for one in wanted if one.ready <= now] or wanted
        turn = min(ready, key=lambda one: (one.unended, one.whole, one.failures, one.number))
        self._held = None
        turn.last_resort = all(one.unended for one in self._left if one is not turn)
        return turn

    def patience(self, turn: Turn) -> Patience:
        """How patient to be with an address: less where there are others not tried yet."""
        fresh = any(not one.failures for one in self._left if one is not turn and not one.unended)
        return self._patience.hurried() if fresh and not turn.failures else self._patience

    def drop(self, turn: Turn) -> None:
        """Give an address up."""
        self._left.remove(turn)

    def put_off(self, turn: Turn, cut: Cut, brought: int, *, only_here: bool) -> str:
        """Let an address wait for its next turn; says for people what comes now.

        Empty where it failed too often and is given up. Raises Refused where it wants to be left
        alone for longer than anybody waits.
        """
        if isinstance(cut, Unended):
            turn.unended = True
            return "trying another address"
        if isinstance(cut, Misplaced):
            turn.whole = True
            if only_here or len(self._left) == 1:
                self._held = turn
                return "asking for the whole file"
            return "trying another address"
        much, now = brought >= ENOUGH, time.monotonic()
        turn.failures = 1 if much else turn.failures + 1
        if turn.failures == 1:
            turn.since = now
        lasted = now - turn.since >= self._patience.lasting_s
        if lasted and turn.failures >= self._patience.tries:
            self.drop(turn)
            return ""
        pause = self._patience.pause(turn.failures, cut.retry_after, random.random())
        turn.ready = now + pause
        if cut.here or (not cut.slow and (much or only_here)):
            self._held = turn
        return self._next_words(turn, pause)

    def forgive(self, turn: Turn, refused: Refused) -> str:
        """Let an address that refused have another turn; says for people what comes now.

        Empty where it refused too often and is given up.
        """
        if refused.later or turn.refusals >= self._patience.refusals:
            self.drop(turn)
            return ""
        turn.refusals += 1
        pause = self._patience.pause(turn.refusals, None, random.random())
        turn.ready = time.monotonic() + pause
        return self._next_words(turn, pause)

    def _next_words(self, turn: Turn, pause: float) -> str:
        alone = self._held is turn or len(self._left) == 1
        return f"trying again in {pause:.1f} s" if alone else "trying another address"
