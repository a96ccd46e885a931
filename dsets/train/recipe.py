"""How a model is trained, as plain values: a checkpoint keeps them, a resumed run compares them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from dsets.errors import UsageError


def constant(done: float, warm_up: float) -> float:
    """The same rate from the first step to the last."""
    return 1.0


def one_cycle(done: float, warm_up: float) -> float:
    """Straight up over the first ``warm_up`` of the run, straight down to 0 over the rest."""
    return done / warm_up if done < warm_up else (1 - done) / (1 - warm_up)


#: Name → the factor on the recipe's rate, from the share of the run that is done (0 to 1).
SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "constant": constant,
    "one-cycle": one_cycle,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Gradient descent with momentum m, decay d, rate r: v ← m·v + g + d·w, w ← w - r·v.

    That is torch's form. The papers multiply r into v; the two agree while r is constant.
    ``rate`` is the schedule's highest. ``warm_up`` is a share of the run. Images are normalised
    with the training pack's own mean and deviation; before that ``crop_padding`` pixels of zeros
    are put around them and a random crop of the old size taken, and ``flip`` mirrors every other
    one. ``log_steps`` is the number of steps that one line of the log is the mean of.

    Raises:
        UsageError: a value that cannot be meant.
    """

    epochs: int
    batch_size: int
    rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "one-cycle"
    warm_up: float = 0.2
    crop_padding: int = 0
    flip: bool = False
    log_steps: int = 50

    def __post_init__(self) -> None:
        _check("epochs", self.epochs, 1, 10**6)
        _check("batch_size", self.batch_size, 1, 10**6)
        _check("rate", self.rate, 0, 1e3)
        _check("momentum", self.momentum, 0, 1)
        _check("weight_decay", self.weight_decay, 0, 1)
        _check("warm_up", self.warm_up, 0, 0.99)
        _check("crop_padding", self.crop_padding, 0, 1000)
        _check("log_steps", self.log_steps, 1, 10**9)
        if self.schedule not in SCHEDULES:
            known = f"one of {', '.join(SCHEDULES)}"
            raise UsageError(
                "no such schedule", where="recipe", expected=known, got=repr(self.schedule)
            )

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of the step after ``step`` others, of ``steps``; there is no state."""
        return self.rate * SCHEDULES[self.schedule]((step + 0.5) / steps, self.warm_up)

    def plain(self) -> dict[str, int | float | str | bool]:
        """The values by name, for a checkpoint or JSON."""
        return asdict(self)


def _check(name: str, value: float, low: float, high: float) -> None:
    # Written so that NaN, which compares false with everything, is refused too.
    if not low <= value <= high:
        raise UsageError(f"bad {name}", where="recipe", expected=f"from {low} to {high}", got=value)
