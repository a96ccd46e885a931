"""How a model is trained, as plain values: a checkpoint keeps them, a resumed run compares them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from dsets.train.bounds import check
from dsets.train.images import Images
from dsets.train.schedule import Schedule, When
from dsets.train.update import Update


@dataclass(frozen=True, slots=True)
class Recipe:
    """Steps of ``batch_size`` images over ``epochs``, or ``steps`` of them if that is fewer and
    not 0; ``log_steps`` is the number of steps that one line of the log is the mean of.

    ``smoothing`` is the share of each label that is spread evenly over all classes in the loss
    that is trained on (Szegedy et al. 2015, section 7); the figures of evaluations have none.

    Raises:
        UsageError: a value that cannot be meant.
    """

    epochs: int
    batch_size: int
    update: Update
    schedule: Schedule = field(default_factory=Schedule)
    images: Images = field(default_factory=Images)
    smoothing: float = 0.0
    steps: int = 0
    log_steps: int = 50

    def __post_init__(self) -> None:
        check("epochs", self.epochs, 1, 10**6)
        check("batch_size", self.batch_size, 1, 10**6)
        check("smoothing", self.smoothing, 0, 0.99)
        check("steps", self.steps, 0, 10**12)
        check("log_steps", self.log_steps, 1, 10**9)

    def rate_at(self, when: When) -> float:
        """The learning rate of a step; there is no state."""
        return self.update.rate * self.schedule.share(when)

    def plain(self) -> dict[str, Any]:
        """The values by name, a table a group, for a checkpoint, JSON or TOML."""
        plain = asdict(self)
        plain["schedule"]["at"] = list(self.schedule.at)
        return plain
