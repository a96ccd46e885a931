"""The work of a run: its steps, and all that changes while they are taken."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from dsets import models
from dsets.errors import StreamError, TrainError
from dsets.stream import Stream
from dsets.train import checkpoint, determinism, engine, optimizers
from dsets.train.checkpoint import Checkpoint
from dsets.train.log import Log
from dsets.train.meters import Clock, Figures, Meter, Speed
from dsets.train.planning import Plan
from dsets.train.schedule import When

#: Between checkpoints, at most (and the step that is being taken).
CHECKPOINT_S = 30.0


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


class Work:
    """What changes while a run goes on."""

    def __init__(self, plan: Plan, training: Stream, evaluation: Stream) -> None:
        torch.manual_seed(plan.seed)
        self._plan = plan
        self._training = training
        self._evaluation = evaluation
        built = models.find(plan.model).build(plan.shape, plan.classes)
        self.model = engine.placed(built, plan.device)
        self._loop = engine.Loop(
            model=self.model,
            optimizer=optimizers.optimizer(self.model, plan.recipe.update),
            recipe=plan.recipe,
            rate=self._rate,
            meter=Meter(plan.classes, plan.device),
            clock=Clock(),
        )
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self._seconds = 0.0  # spent before this process began
        self._began = self._saved = time.monotonic()

    def begin(self) -> Checkpoint:
        """Take up the checkpoint that is there, or write the first one, of no steps."""
        for name in ("checkpoint.pt", "curves.png", "result.json"):
            for part in self._plan.out.glob(f".{name}.*.part"):
                part.unlink()  # of a killed process: the lock says that nobody is writing it
        if self._plan.checkpoint.exists():
            kept = checkpoint.load(self._plan.checkpoint)
            checkpoint.check(self._plan.checkpoint, kept, self._plan.identity())
            self._restore(kept)
            return kept
        for name in ("log.jsonl", "speed.jsonl", "curves.png", "result.json"):
            if (self._plan.out / name).exists():
                raise TrainError(
                    f"{name} is in the way, and there is no checkpoint that it belongs to",
                    where=self._plan.out,
                    remedy="move it, or give another --out",
                )
        return self._save(0)

    def go(
        self,
        log: Log,
        speeds: Log,
        progress: Callable[[Moment], None],
        stop: Callable[[], bool],
    ) -> bool:
        """Train to the end, or until asked to stop; whether it is the end."""
        progress(Moment(self._plan, self.step))
        self._loop.clock.lap()
        while self.step < self._plan.steps:
            for step in self._loop.epoch(self._training, self.step):
                self.step = step
                over = self.step % self._plan.epoch_steps == 0
                if (
                    over
                    or self.step == self._plan.steps
                    or self.step % self._plan.recipe.log_steps == 0
                ):
                    self._log_training(log, speeds, progress)
                if over:
                    continue  # what is saved is the middle of an epoch, or one that is evaluated
                if self.step == self._plan.steps:
                    break
                if stop():
                    self._save(log.commit())
                    return False
                if time.monotonic() - self._saved > CHECKPOINT_S:
                    self._save(log.commit())
            self._log_evaluation(log, progress)
            self._save(log.commit())
            if stop():
                break
        return self.step == self._plan.steps

    @property
    def seconds(self) -> float:
        """The time behind the weights as they are, in this process and before it."""
        return self._seconds + time.monotonic() - self._began

    def _rate(self, step: int) -> float:
        """The learning rate of the step after ``step`` others."""
        errors = [1 - entry["top1"] for entry in self.history]
        when = When(step, self._plan.steps, self._plan.epoch_steps, errors)
        return self._plan.recipe.rate_at(when)

    def _log_training(self, log: Log, speeds: Log, progress: Callable[[Moment], None]) -> None:
        figures, speed = self._loop.meter.figures(), self._loop.clock.lap()
        self._loop.meter.reset()
        self._check_finite(figures)
        rate = self._rate(self.step - 1)
        log.write({"kind": "train", "step": self.step, "rate": rate, **figures.plain()})
        speeds.write(
            {
                "step": self.step,
                "images_per_second": round(speed.rate, 1),
                "waiting": round(speed.share, 4),
                "seconds": round(self.seconds, 3),
            }
        )
        progress(Moment(self._plan, self.step, figures, speed))

    def _log_evaluation(self, log: Log, progress: Callable[[Moment], None]) -> None:
        meter = Meter(self._plan.classes, self._plan.device)
        figures = engine.evaluate(self.model, self._evaluation, meter)
        self._check_finite(figures)
        where = {"epoch": -(-self.step // self._plan.epoch_steps), "step": self.step}
        log.write({"kind": "evaluation", **where, **figures.plain()})
        self.history.append({**where, **figures.plain(), "seconds": round(self.seconds, 3)})
        progress(Moment(self._plan, self.step, figures))
        self._loop.clock.lap()

    def _check_finite(self, figures: Figures) -> None:
        if not math.isfinite(figures.loss):
            raise TrainError(
                f"the loss is no longer a number at step {self.step}",
                where=self._plan.model,
                got=figures.loss,
                remedy=f"lower the rate ({self._plan.recipe.update.rate}), in another --out",
            )

    def _save(self, log_bytes: int) -> Checkpoint:
        kept = Checkpoint(
            identity=self._plan.identity(),
            environment=self._plan.environment(),
            step=self.step,
            seconds=self.seconds,
            log_bytes=log_bytes,
            history=self.history,
            meter=self._loop.meter.state(),
            model=dict(self.model.state_dict()),
            optimizer=self._loop.optimizer.state_dict(),
            stream=self._training.state_dict(),
            generators=determinism.generators(self._plan.device),
        )
        checkpoint.save(self._plan.checkpoint, kept)
        self._saved = time.monotonic()
        return kept

    def _restore(self, kept: Checkpoint) -> None:
        try:
            self.model.load_state_dict(kept.model)
            self._loop.optimizer.load_state_dict(kept.optimizer)
            self._loop.meter.load(kept.meter)
            self._training.load_state_dict(kept.stream)
            determinism.restore_generators(kept.generators)
        except (RuntimeError, ValueError, KeyError, TypeError, StreamError) as error:
            raise TrainError(
                f"checkpoint does not fit its run: {error}", where=self._plan.checkpoint
            ) from error
        if self._streamed() != kept.step:
            raise TrainError(
                "checkpoint does not fit its run: its stream stands elsewhere",
                where=self._plan.checkpoint,
                expected=f"step {kept.step}",
                got=f"step {self._streamed()}",
            )
        self.step, self.history, self._seconds = kept.step, kept.history, kept.seconds

    def _streamed(self) -> int:
        """The steps that the stream has delivered batches for."""
        batches = -(-self._training.position // self._plan.recipe.batch_size)
        return self._training.epoch * self._plan.epoch_steps + batches
