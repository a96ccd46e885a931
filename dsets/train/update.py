"""How one step changes the weights: the rules of the papers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from dsets.errors import UsageError
from dsets.train.bounds import check

RULES = ("sgd", "nesterov", "alexnet", "rmsprop")


@dataclass(frozen=True, slots=True)
class Update:
    """With rate r, momentum m, weight decay d and gradient g, ``rule`` is one of

    sgd       v ← m·v + g + d·w,  w ← w - r·v: torch's form
    nesterov  v ← m·v + g + d·w,  w ← w - r·(g + d·w + m·v)
    alexnet   v ← m·v - d·r·w - r·g,  w ← w + v (Krizhevsky et al. 2012, section 5). The rate is
              inside the velocity, so when it falls, what was gathered at the old one still counts
              at the old one. While it is constant, this and sgd take the same steps.
    rmsprop   s ← a·s + (1 - a)·g²,  v ← m·v + g / (√s + e),  w ← w - r·v, with a the ``averaging``
              and e the ``epsilon``, g with d·w in it: torch's form

    ``rate`` is the schedule's highest. Gradients whose norm over all weights together is above
    ``clip`` are scaled to it; 0 never does so.

    Raises:
        UsageError: a value that cannot be meant.
    """

    rate: float
    rule: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    averaging: float = 0.9
    epsilon: float = 1.0
    clip: float = 0.0

    def __post_init__(self) -> None:
        check("rate", self.rate, 1e-12, 1e3)
        check("momentum", self.momentum, 0, 0.9999)
        check("weight_decay", self.weight_decay, 0, 1)
        check("averaging", self.averaging, 0, 1)
        check("epsilon", self.epsilon, 0, 1e3)
        check("clip", self.clip, 0, 1e9)
        if self.rule not in RULES:
            raise UsageError(
                "no such rule",
                where="recipe",
                expected=f"one of {', '.join(RULES)}",
                got=repr(self.rule),
            )
