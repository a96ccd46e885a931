"""The optimisers of ``Update``'s rules: torch's, and the AlexNet paper's, which torch hasn't."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn, optim

from dsets.train.update import Update


def optimizer(model: nn.Module, update: Update) -> optim.Optimizer:
    """The optimiser of that rule over the model's weights."""
    weights = model.parameters()
    shared: dict[str, Any] = {
        "lr": update.rate,
        "momentum": update.momentum,
        "weight_decay": update.weight_decay,
    }
    if update.rule == "alexnet":
        return Velocity(weights, **shared)
    if update.rule == "rmsprop":
        return optim.RMSprop(weights, alpha=update.averaging, eps=update.epsilon, **shared)
    return optim.SGD(weights, nesterov=update.rule == "nesterov", **shared)


def clip(model: nn.Module, update: Update) -> None:
    """Scale the gradients, if the update says so and they are too large together."""
    if update.clip:
        nn.utils.clip_grad_norm_(model.parameters(), update.clip)


class Velocity(optim.Optimizer):
    """Krizhevsky et al. 2012, section 5.

    v ← momentum·v - weight_decay·lr·w - lr·g,  w ← w + v, in this order of operations.

    ``lr`` may be changed between any two steps in ``param_groups``, as with torch's own. The state
    of each weight is its velocity, ``v``, from the first step on; before it is 0.
    """

    def __init__(
        self, params: Iterable[Any], *, lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step; weights without a gradient stay as they are."""
        for group in self.param_groups:
            rate, momentum, decay = (group[key] for key in ("lr", "momentum", "weight_decay"))
            moved = [weight for weight in group["params"] if weight.grad is not None]
            if not moved:
                continue
            for weight in moved:
                if "v" not in self.state[weight]:
                    self.state[weight]["v"] = torch.zeros_like(weight)
            velocities = [self.state[weight]["v"] for weight in moved]
            torch._foreach_mul_(velocities, momentum)
            torch._foreach_add_(velocities, moved, alpha=-decay * rate)
            torch._foreach_add_(velocities, [weight.grad for weight in moved], alpha=-rate)
            torch._foreach_add_(moved, velocities)
