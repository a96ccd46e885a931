"""Meters: what a run says about itself. Rows that are padding count nowhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from dsets.train.ranks import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over ``images`` images: cross-entropy in nats, and shares of right answers from 0 to 1.

    ``top5`` is None where there are at most five classes, since it would always be 1.
    """

    images: int
    loss: float
    top1: float
    top5: float | None

    def plain(self) -> dict[str, int | float | None]:
        """The figures by name, without a top-5 that means nothing."""
        top5 = {} if self.top5 is None else {"top5": self.top5}
        return {"images": self.images, "loss": self.loss, "top1": self.top1, **top5}


class Meter:
    """Sums over the images seen since the last ``reset``, in float64 where the model is.

    Nothing is read back before ``figures`` or ``state``, so a GPU need not wait after every step.
    Of several processes each counts its own; ``figures`` are of all of them, ``state`` is not.
    """

    def __init__(self, classes: int, device: str, ranks: Ranks = ALONE) -> None:
        self._classes = classes
        self._ranks = ranks
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)

    def add(self, logits: Tensor, labels: Tensor, losses: Tensor, valid: Tensor) -> None:
        """Count one batch: logits (n, classes), labels int64 (n,), losses (n,), valid bool (n,)."""
        # Not by counting larger logits: where all are NaN, or equal, everything would be right.
        best = logits.topk(min(5, self._classes)).indices  # int64 (n, 5), best first
        right = (best == labels[:, None]) & valid[:, None]
        totals = (losses[valid].double().sum(), right[:, 0].sum(), right.sum(), valid.sum())
        self._sums += torch.stack([total.double() for total in totals]).to(self._sums)

    def figures(self) -> Figures:
        """The means so far; of no images at all, zeros."""
        sums: list[float] = self._ranks.sum(self._sums.clone()).tolist()
        loss, top1, top5, images = sums
        count = max(images, 1.0)
        return Figures(
            images=int(images),
            loss=loss / count,
            top1=top1 / count,
            top5=top5 / count if self._classes > 5 else None,
        )

    def reset(self) -> None:
        self._sums.zero_()

    def state(self) -> list[float]:
        """The sums of losses, top-1 and top-5 hits and images, exactly."""
        sums: list[float] = self._sums.tolist()
        return sums

    def load(self, state: list[float]) -> None:
        """Go on from what ``state`` returned. Raises ValueError for anything else."""
        sums = torch.tensor(state, dtype=torch.float64)
        if sums.shape != self._sums.shape:
            raise ValueError(f"a meter has 4 sums, not {len(state)}")
        self._sums.copy_(sums)


@dataclass(frozen=True, slots=True)
class Speed:
    """``images`` in ``seconds``, of which ``waiting`` seconds went by before the data was there."""

    images: int
    seconds: float
    waiting: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / max(self.seconds, 1e-9)

    @property
    def share(self) -> float:
        """The share of the time, from 0 to 1, that went into waiting for data."""
        return self.waiting / max(self.seconds, 1e-9)


class Clock:
    """Wall time since the last ``lap``, and how much of it the stream kept us waiting."""

    def __init__(self) -> None:
        self._images = 0
        self._waited = 0.0
        self._started = time.perf_counter()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        before = time.perf_counter()
        yield
        self._waited += time.perf_counter() - before

    def add(self, images: int) -> None:
        self._images += images

    def lap(self) -> Speed:
        """What happened since the last lap; the clock starts anew."""
        now = time.perf_counter()
        speed = Speed(self._images, now - self._started, self._waited)
        self._images, self._waited, self._started = 0, 0.0, now
        return speed
