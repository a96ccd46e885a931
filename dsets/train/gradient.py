"""The gradient of one batch: in pieces, and over all processes.

It is the gradient of the sum of the losses of all valid rows, of all processes, over their number.
A process whose rows are all padding adds zero. The pieces and the order of the sums are fixed, so
that the same run gives the same bits; torch's DistributedDataParallel forms its buckets anew after
the first step it sees, so a resumed run would add in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dsets.train import ranks as processes
from dsets.train.numerics import Numerics
from dsets.train.ranks import ALONE, Ranks

#: A model's output and the labels → the net's logits (n, classes) and the losses (n,).
Losses = Callable[[Any, Tensor], tuple[Tensor, Tensor]]


class Gradient:
    """Leaves the gradient in the weights' ``.grad``, and steps the optimiser by it."""

    def __init__(
        self,
        model: nn.Module,
        numerics: Numerics | None = None,
        ranks: Ranks = ALONE,
        device: str = "cpu",
    ) -> None:
        numerics = numerics or Numerics()
        self._model = model
        self._pieces = numerics.accumulate
        self._scaler = numerics.scaler(device)
        self.ranks = ranks

    def of(
        self, images: Tensor, labels: Tensor, valid: Tensor, losses: Losses
    ) -> tuple[Tensor, Tensor]:
        """The gradient, ready for ``step``; the logits (n, classes) and losses (n,), detached."""
        rows = len(images)
        # Padding repeats rows, so there are as many on every rank. Known without asking, the
        # number of all rows is the divisor at first; the number of valid ones comes with the sum.
        divisor = valid.sum().clamp(min=1) if self.ranks.alone else rows * self.ranks.world
        # A batch norm over dense features refuses a single row.
        pieces = min(self._pieces, max(1, rows // 2))
        logits, all_losses = [], []
        for shown, wanted, real in zip(
            *(values.tensor_split(pieces) for values in (images, labels, valid)), strict=True
        ):
            scores, each = losses(self._model(shown), wanted)
            # Of nothing but padding the gradient is 0, not 0 / 0.
            self._scaler.scale(each[real].sum() / divisor).backward()  # type: ignore[no-untyped-call]
            logits.append(scores.detach())
            all_losses.append(each.detach())
        if not self.ranks.alone:
            self._add_up(rows, valid)
        return torch.cat(logits), torch.cat(all_losses)

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the gradient its true size, for whoever looks at it before ``step``."""
        if self._scaler.is_enabled():
            self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Step by it; under float16 not where it is no number, since the scale was too large."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """The scale and its history; empty but for float16."""
        return self._scaler.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned. Raises ValueError for anything else."""
        if set(state) != set(self._scaler.state_dict()):
            raise ValueError("the scaler's state is not one of this precision")
        if state:
            self._scaler.load_state_dict(state)

    def _add_up(self, rows: int, valid: Tensor) -> None:
        """Sum over the processes; running statistics become their mean, weighted by valid rows."""
        gradients = [weight.grad for weight in self._model.parameters() if weight.grad is not None]
        running = processes.statistics(self._model)
        count = valid.sum().to(torch.float32)
        with torch.no_grad():
            own = [*gradients, *(values * count for values in running), count]
            everything = self.ranks.sum(torch.cat([values.reshape(-1) for values in own]))
            total = everything[-1]
            parts = torch.split(everything[:-1], [values.numel() for values in own[:-1]])
            scale = rows * self.ranks.world / total
            for gradient, summed in zip(gradients, parts[: len(gradients)], strict=True):
                gradient.copy_(summed.view_as(gradient)).mul_(scale)
            for values, summed in zip(running, parts[len(gradients) :], strict=True):
                values.copy_(summed.view_as(values) / total)
