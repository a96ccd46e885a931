"""The work of a run: its steps, and all that changes while they are taken."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dsets import models
from dsets.errors import StreamError, TrainError
from dsets.stream import Stream
from dsets.train import checkpoint, determinism, engine, optimizers, weights
from dsets.train.checkpoint import Checkpoint
from dsets.train.gradient import Gradient
from dsets.train.log import NOTHING, Log
from dsets.train.meters import Clock, Figures, Meter
from dsets.train.moment import Hook, Moment, Step
from dsets.train.planning import Plan
from dsets.train.ranks import ALONE, Ranks
from dsets.train.schedule import When

#: Between checkpoints, at most (and the step that is being taken).
CHECKPOINT_S = 30.0


@dataclass(frozen=True, slots=True)
class Logs:
    """What the first process writes: the loss ``curve``, and how fast it went."""

    curve: Log
    speeds: Log


class Work:
    """What changes while a run goes on."""

    def __init__(
        self,
        plan: Plan,
        training: Stream,
        evaluation: Stream,
        ranks: Ranks = ALONE,
        hooks: Sequence[Hook] = (),
    ) -> None:
        torch.manual_seed(plan.seed)
        self._plan = plan
        self._hooks = hooks
        self._ranks = ranks
        self._training = training
        self._evaluation = evaluation
        built = models.find(plan.model).build(plan.shape, plan.classes)
        placed = engine.placed(built, plan.device, plan.numerics.layout)
        self.model = plan.numerics.applied(placed, plan.device)
        self._gradient = Gradient(self.model, plan.numerics, ranks, plan.device)
        self._loop = engine.Loop(
            model=self.model,
            optimizer=optimizers.optimizer(self.model, plan.recipe.update),
            recipe=plan.recipe,
            rate=self._rate,
            meter=Meter(plan.classes, plan.device, ranks),
            clock=Clock(),
            gradient=self._gradient,
            layout=plan.numerics.layout,
        )
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self.environments = [{"step": 0, **plan.environment()}]
        self._seconds = 0.0  # spent before this process began
        self._began = self._saved = time.monotonic()

    def begin(self) -> Checkpoint:
        """Take up the checkpoint that is there, or write the first one, of no steps."""
        there = self._ranks.by_first(self._swept)
        if there:
            kept = checkpoint.load(self._plan.checkpoint, checkpoint.ANEW)
            checkpoint.check(self._plan.checkpoint, kept, self._plan.identity())
            self._restore(kept)
        elif not self._ranks.alone:
            self._seed_own()  # now that all have drawn the same weights
        self._ranks.agree(
            {
                **checkpoint.flat(self._plan.identity()),
                "code": self._plan.environment()["code"],
                "step": self.step,
                "weights": weights.digest(self.model.state_dict()),
            }
        )
        return kept if there else self._save(0, NOTHING)

    def _swept(self) -> bool:
        """Whether there is a checkpoint; what a killed process left half written goes."""
        for name in ("checkpoint.pt", "curves.png", "result.json"):
            for part in self._plan.out.glob(f".{name}.*.part"):
                part.unlink()  # of a killed process: the lock says that nobody is writing it
        if self._plan.checkpoint.exists():
            return True
        for name in ("log.jsonl", "speed.jsonl", "curves.png", "result.json"):
            if (self._plan.out / name).exists():
                raise TrainError(
                    f"{name} is in the way, and there is no checkpoint that it belongs to",
                    where=self._plan.out,
                    remedy="move it, or give another --out",
                )
        return False

    def _seed_own(self) -> None:
        """Let each process draw other random numbers than the others, and than those before."""
        key = [self._plan.seed, self.step, self._ranks.world, self._ranks.rank]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))

    def go(
        self, logs: Logs | None, progress: Callable[[Moment], None], stop: Callable[[], bool]
    ) -> bool:
        """Train to the end, or until any process is asked to stop; whether it is the end."""
        progress(Moment(self._plan, self.step))
        self._loop.clock.lap()
        while self.step < self._plan.steps:
            for step in self._loop.epoch(self._training, self.step):
                self.step = step
                self._call_hooks()
                over = self.step % self._plan.epoch_steps == 0
                last = self.step == self._plan.steps
                if over or last or self.step % self._plan.recipe.log_steps == 0:
                    self._log_training(logs, progress)
                if over:
                    continue  # what is saved is the middle of an epoch, or one that is evaluated
                if last:
                    break
                due = time.monotonic() - self._saved > CHECKPOINT_S
                asked, due = self._ranks.any(stop(), due)
                if asked or due:
                    self._check_finite(self._loop.meter.figures())  # nothing to go on from
                    self._save_beside(logs)
                if asked:
                    return False
            self._log_evaluation(logs, progress)
            self._save_beside(logs)
            if self._ranks.any(stop())[0]:
                break
        return self.step == self._plan.steps

    @property
    def seconds(self) -> float:
        """The time behind the weights as they are, in this process and before it."""
        return self._seconds + time.monotonic() - self._began

    def _call_hooks(self) -> None:
        if self._hooks:
            rate = self._rate(self.step - 1)
            step = Step(self._plan, self.step, rate, self.model, self._loop.optimizer)
            for hook in self._hooks:
                hook(step)

    def _rate(self, step: int) -> float:
        """The learning rate of the step after ``step`` others."""
        errors = [1 - entry["top1"] for entry in self.history]
        when = When(step, self._plan.steps, self._plan.epoch_steps, errors)
        return self._plan.recipe.rate_at(when)

    def _log_training(self, logs: Logs | None, progress: Callable[[Moment], None]) -> None:
        figures, speed = self._loop.meter.figures(), self._loop.clock.lap()
        self._loop.meter.reset()
        self._check_finite(figures)
        rate = self._rate(self.step - 1)
        if logs is not None:
            line = {"kind": "train", "step": self.step, "rate": rate, **figures.plain()}
            logs.curve.write(line)
            logs.speeds.write(
                {
                    "step": self.step,
                    "images_per_second": round(speed.rate, 1),
                    "waiting": round(speed.share, 4),
                    "seconds": round(self.seconds, 3),
                }
            )
        progress(Moment(self._plan, self.step, figures, speed))

    def _log_evaluation(self, logs: Logs | None, progress: Callable[[Moment], None]) -> None:
        meter = Meter(self._plan.classes, self._plan.device, self._ranks)
        figures = engine.evaluate(self.model, self._evaluation, meter, self._plan.numerics.layout)
        self._check_finite(figures)
        where = {"epoch": -(-self.step // self._plan.epoch_steps), "step": self.step}
        if logs is not None:
            logs.curve.write({"kind": "evaluation", **where, **figures.plain()})
        self.history.append({**where, **figures.plain(), "seconds": round(self.seconds, 3)})
        progress(Moment(self._plan, self.step, figures))
        self._loop.clock.lap()

    def _check_finite(self, figures: Figures) -> None:
        if not math.isfinite(figures.loss):
            raise TrainError(
                f"the loss is no longer a number at step {self.step}",
                where=self._plan.model,
                got=figures.loss,
                remedy="train by a copy of the recipe with a rate below "
                f"{self._plan.recipe.update.rate}, in another --out",
            )

    def _save_beside(self, logs: Logs | None) -> None:
        """Save where the log stands now."""
        self._save(*(logs.curve.commit() if logs is not None else (0, NOTHING)))

    def _save(self, log_bytes: int, log_sha256: str) -> Checkpoint:
        own = {
            "meter": self._loop.meter.state(),
            "generators": determinism.generators(self._plan.device),
        }
        kept = Checkpoint(
            identity=self._plan.identity(),
            environments=self.environments,
            packs=self._plan.packs(),
            step=self.step,
            seconds=self.seconds,
            log_bytes=log_bytes,
            log_sha256=log_sha256,
            history=self.history,
            model=dict(self.model.state_dict()),
            optimizer=self._loop.optimizer.state_dict(),
            scaler=self._gradient.state(),
            stream=self._training.state_dict(),
            ranks=self._ranks.gather(own),
        )
        if self._ranks.first:
            checkpoint.save(self._plan.checkpoint, kept)
        self._saved = time.monotonic()
        return kept

    def _restore(self, kept: Checkpoint) -> None:
        self.step, self.history, self._seconds = kept.step, list(kept.history), kept.seconds
        try:
            weights.load(self.model, kept.model)
            optimizers.restore(self._loop.optimizer, kept.optimizer)
            self._gradient.load(kept.scaler)
            self._training.load_state_dict(kept.stream)
            self._restore_own(kept.ranks)
        except (
            RuntimeError,
            ValueError,
            KeyError,
            IndexError,
            TypeError,
            AttributeError,
            OverflowError,
            StreamError,
        ) as error:
            raise TrainError(
                f"checkpoint does not fit its run: {error}", where=self._plan.checkpoint
            ) from error
        last = kept.history[-1]["step"] if kept.history else 0
        if kept.step == self._plan.steps != last:
            raise TrainError(
                "checkpoint does not fit its run: it was not evaluated at its end",
                where=self._plan.checkpoint,
                expected=f"an evaluation at step {kept.step}",
                got=f"the last at step {last}",
            )
        if self._streamed() != kept.step:
            raise TrainError(
                "checkpoint does not fit its run: its stream stands elsewhere",
                where=self._plan.checkpoint,
                expected=f"step {kept.step}",
                got=f"step {self._streamed()}",
            )
        self.environments = list(kept.environments)
        now = self._plan.environment()
        if kept.step < self._plan.steps and kept.environment != now:
            self.environments.append({"step": kept.step, **now})

    def _restore_own(self, ranks: list[dict[str, Any]]) -> None:
        """What each process had; of another number of processes, the first one has it all."""
        if len(ranks) == self._ranks.world:
            own = ranks[self._ranks.rank]
            self._loop.meter.load(own["meter"])
            determinism.restore_generators(own["generators"], self._plan.device)
            return
        if self._ranks.first:
            columns = zip(*(theirs["meter"] for theirs in ranks), strict=True)
            self._loop.meter.load([math.fsum(sums) for sums in columns])
        self._seed_own()

    def _streamed(self) -> int:
        """The steps that the stream has delivered batches for."""
        batches = -(-self._training.position // self._plan.recipe.batch_size)
        return self._training.epoch * self._plan.epoch_steps + batches
