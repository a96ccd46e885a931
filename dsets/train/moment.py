"""What a run tells of itself while it goes on, to whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from dsets.train.meters import Figures, Speed
from dsets.train.planning import Plan


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a run stands: after a line of its log, or where it goes on from (no figures yet).

    ``speed`` is there for lines of training, not for evaluations.
    """

    plan: Plan
    step: int
    figures: Figures | None = None
    speed: Speed | None = None

    @property
    def epoch(self) -> int:
        """The epoch that the last step was in, or that the first will be in; from 1."""
        return max(1, -(-self.step // self.plan.epoch_steps))


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was taken, the ``number``-th of the run, at the learning rate ``rate``."""

    plan: Plan
    number: int
    rate: float
    model: nn.Module
    optimizer: torch.optim.Optimizer


#: What a user runs after every step.
Hook = Callable[[Step], None]
