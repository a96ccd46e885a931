"""The learning rate over a run.

A schedule has no state of its own. The plateau rule looks at the errors of the evaluations so far,
which a checkpoint keeps, so a run that goes on sees the rates it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dsets.errors import UsageError
from dsets.train.bounds import check


@dataclass(frozen=True, slots=True)
class When:
    """A step: ``step`` others lie behind it, of ``steps``; an epoch has ``epoch_steps``.

    ``errors`` are the errors of the evaluations so far, from 0 to 1, oldest first.
    """

    step: int
    steps: int
    epoch_steps: int
    errors: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the rate is multiplied with, by ``kind``:

    constant     1
    one-cycle    straight up from 0 over the first ``warm_up`` of the run (a share), straight down
                 to 0 over the rest
    steps        ``factor`` once more after each number of steps in ``at``
    exponential  ``factor`` once more after every ``every`` epochs
    plateau      ``factor`` once more when ``patience`` evaluations one after the other had no error
                 below the lowest before them; ``times`` times, then never again

    Raises:
        UsageError: a value that cannot be meant.
    """

    kind: str = "one-cycle"
    warm_up: float = 0.2
    factor: float = 0.1
    at: tuple[int, ...] = ()
    every: int = 1
    patience: int = 3
    times: int = 3

    def __post_init__(self) -> None:
        check("warm_up", self.warm_up, 0, 0.99)
        check("factor", self.factor, 0, 1)
        check("every", self.every, 1, 10**6)
        check("patience", self.patience, 1, 10**6)
        check("times", self.times, 0, 10**6)
        if list(self.at) != sorted({*self.at}) or any(step < 1 for step in self.at):
            raise UsageError(
                "bad at", where="recipe", expected="rising numbers of steps", got=list(self.at)
            )
        if self.kind == "steps" and not self.at:
            raise UsageError(
                "bad at", where="recipe", expected="numbers of steps, for this kind", got="none"
            )
        if self.kind not in KINDS:
            raise UsageError(
                "no such kind of schedule",
                where="recipe",
                expected=f"one of {', '.join(KINDS)}",
                got=repr(self.kind),
            )

    def share(self, when: When) -> float:
        """The share of the recipe's rate that the step gets."""
        return KINDS[self.kind](self, when)


def drops(errors: Sequence[float], patience: int, times: int) -> int:
    """How often ``errors`` stopped falling, at most ``times`` times; see ``Schedule``."""
    lowest, stale, found = float("inf"), 0, 0
    for error in errors:
        stale = 0 if error < lowest else stale + 1
        lowest = min(lowest, error)
        if stale == patience and found < times:
            found, stale = found + 1, 0
    return found


def _constant(schedule: Schedule, when: When) -> float:
    return 1.0


def _one_cycle(schedule: Schedule, when: When) -> float:
    done, warm_up = (when.step + 0.5) / when.steps, schedule.warm_up
    return done / warm_up if done < warm_up else (1 - done) / (1 - warm_up)


def _steps(schedule: Schedule, when: When) -> float:
    return float(schedule.factor ** sum(when.step >= step for step in schedule.at))


def _exponential(schedule: Schedule, when: When) -> float:
    epoch = when.step // when.epoch_steps
    return float(schedule.factor ** (epoch // schedule.every))


def _plateau(schedule: Schedule, when: When) -> float:
    return float(schedule.factor ** drops(when.errors, schedule.patience, schedule.times))


KINDS: dict[str, Callable[[Schedule, When], float]] = {
    "constant": _constant,
    "one-cycle": _one_cycle,
    "steps": _steps,
    "exponential": _exponential,
    "plateau": _plateau,
}
