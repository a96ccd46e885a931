"""The optimisers of ``Update``'s rules: torch's, and the AlexNet paper's, which torch hasn't."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn, optim

from dsets.train.update import Update

#: What the recipe decides of every step alike; a rule has some of them.
_CONSTANT = ("momentum", "weight_decay", "nesterov", "alpha", "eps")


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


def restore(optimizer: optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Give the optimiser the state of one of the same rule over the same weights.

    The rate is the recipe's, whatever ``saved`` says.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    states, groups = saved.get("state"), optimizer.state_dict()["param_groups"]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if (
        type(states) is not dict
        or not all(number in range(len(weights)) for number in states)
        or [group["params"] for group in saved["param_groups"]] != [g["params"] for g in groups]
    ):
        raise ValueError("the optimiser's state is of other weights")
    for theirs, ours in zip(saved["param_groups"], groups, strict=True):
        for name in _CONSTANT:
            there, here = theirs.get(name), ours.get(name)
            if isinstance(there, torch.Tensor) or there != here:
                raise ValueError(f"the optimiser's {name} is not the recipe's")
    names = _names(optimizer)
    for number, state in states.items():
        shape = weights[number].shape
        if type(state) is not dict or (state and set(state) != names):
            raise ValueError("the optimiser's state is of another rule")
        for name, values in state.items():
            if values is None and name == "momentum_buffer":
                continue  # of a weight that had no gradient yet
            expected = torch.Size() if name == "step" else shape
            if (
                type(values) is not torch.Tensor
                or values.shape != expected
                or values.dtype != torch.float32
            ):
                raise ValueError(f"the optimiser's {name} does not fit its weight")
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def _names(optimizer: optim.Optimizer) -> set[str]:
    """What it keeps of a weight, once it has taken a step."""
    momentum = {"momentum_buffer"} if optimizer.param_groups[0]["momentum"] else set()
    if isinstance(optimizer, Velocity):
        return {"v"}
    if isinstance(optimizer, optim.RMSprop):
        return {"step", "square_avg", *momentum}
    return momentum


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
