"""What data costs: short epochs fed by the stream against the same steps on one resident batch.

    python benchmarks/train_cost.py cifar_small FOLDER --steps 60 --rounds 9 [--save]
    python benchmarks/train_cost.py alexnet FOLDER --batch-size 16 [--save]

The training pack in FOLDER is streamed as the model's recipe says. A round is so many steps with
the stream, the last ones of an epoch, and as many on a batch kept from it, one right after the
other, by the same loop, net and threads; rounds change which comes first. The time of the streamed
steps begins before the stream is opened, with nothing read ahead, and nothing pauses between steps:
what is read, cut and scaled for them all falls into it, and nothing into the other's. A line has
the median of the rounds' ratios of wall time and between which of them the median lies with 95 %
certainty, whatever their distribution; the ratio of processor time; the share of the time that the
loop waited for data, the first batch included; and the seconds until the first step could begin.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import record
import torch

from dsets import models, stream
from dsets.bench import process
from dsets.pack import Pack
from dsets.train import engine, optimizers, recipes
from dsets.train.gradient import Gradient
from dsets.train.meters import Clock, Meter
from dsets.train.packs import field_of


@dataclass(frozen=True)
class Times:
    """Seconds: of the clock, of processors, of waiting for data, and until the first step."""

    wall: float
    processor: float
    waiting: float
    start: float


def measure(loop: engine.Loop, opened: Callable[[], Any], steps: int) -> Times:
    """Open what the steps are fed by, and take them.

    Raises:
        RuntimeError: it is not so many of them.
    """
    with ExitStack() as held:
        began, spent = time.perf_counter(), process.processor(os.getpid())
        loop.clock.lap()
        feed = iter(held.enter_context(opened()))
        first = next(feed)
        start = time.perf_counter() - began
        taken = sum(1 for _ in loop.epoch(itertools.chain([first], feed), 0))
        wall, busy = time.perf_counter() - began, process.processor(os.getpid()) - spent
        if taken != steps:
            raise RuntimeError(f"{taken} steps instead of {steps}")
        return Times(wall, busy, start + loop.clock.lap().waiting, start)


@dataclass(frozen=True)
class Resident:
    """A batch that is there already."""

    images: torch.Tensor
    labels: torch.Tensor

    def __getitem__(self, field: str) -> torch.Tensor:
        return self.images if field == "image" else self.labels

    @property
    def valid(self) -> np.ndarray:
        return np.ones(len(self.labels), np.bool_)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Between which of the values the median of what they are drawn from lies: 95 % certain.

    So many are below it as heads fall in as many throws; of fewer than six it is all of them.
    """
    count, below, outside = len(values), 0, 0.0
    while (outside := outside + math.comb(count, below) / 2**count) <= 0.025:
        below += 1
    ranked = sorted(values)
    return ranked[max(below - 1, 0)], ranked[count - max(below, 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, help="instead of the recipe's")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--save", action="store_true", help="append to results/train_cost.jsonl")
    options = parser.parse_args()

    recipe = recipes.of(options.model)
    recipe = replace(recipe, batch_size=options.batch_size or recipe.batch_size)
    pack = Pack.open(options.folder / "train")
    classes = len(field_of(pack, "label").classes)
    shape = recipe.images.shape(field_of(pack, "image"))
    torch.set_num_threads(options.threads)
    net = engine.placed(models.find(options.model).build(shape, classes), "cpu")
    loop = engine.Loop(
        net,
        optimizers.optimizer(net, recipe.update),
        recipe,
        lambda step: 1e-4,
        Meter(classes, "cpu"),
        Clock(),
        Gradient(net),
    )
    whole = len(pack) // recipe.batch_size

    @contextmanager
    def streamed(epoch: int, steps: int) -> Iterator[Any]:
        """The last so many steps of an epoch."""
        with stream.batches(
            pack,
            recipe.batch_size,
            seed=0,
            transform=recipe.images.training(pack),
            drop_last=True,
            device="cpu",
        ) as batches:
            skipped = (whole - steps) * recipe.batch_size
            batches.load_state_dict({**batches.state_dict(), "epoch": epoch, "position": skipped})
            yield batches

    if not 2 <= options.steps <= whole:
        parser.error(f"--steps: from 2 to the {whole} of an epoch")
    with streamed(0, 2) as batches:
        kept = next(iter(batches))
        images, labels = kept["image"].clone(), kept["label"].clone()
    resident = Resident(images, labels)
    measure(loop, lambda: streamed(0, 2), 2)
    rounds = []
    for number in range(options.rounds):
        found = {}
        for name in ("streamed", "resident")[:: 1 if number % 2 == 0 else -1]:
            opened = (
                partial(streamed, number + 1, options.steps)
                if name == "streamed"
                else partial(nullcontext, itertools.repeat(resident, options.steps))
            )
            found[name] = measure(loop, opened, options.steps)
        rounds.append(found)
        print({name: round(times.wall, 3) for name, times in found.items()}, flush=True)
    ratios = [found["streamed"].wall / found["resident"].wall for found in rounds]
    line = record.line(
        f"{options.model}: short epochs fed by the stream against steps on a resident batch",
        "ratio of wall time",
        ratios,
        {
            "interval": [round(end, 4) for end in interval(ratios)],
            "rounds": [round(ratio, 4) for ratio in ratios],
            "processor_ratio": round(
                statistics.median(
                    f["streamed"].processor / f["resident"].processor for f in rounds
                ),
                4,
            ),
            "waiting": round(
                statistics.median(f["streamed"].waiting / f["streamed"].wall for f in rounds), 5
            ),
            "start_seconds": round(statistics.median(f["streamed"].start for f in rounds), 4),
            "seconds_a_step": round(
                statistics.median(f["resident"].wall for f in rounds) / options.steps, 4
            ),
            "steps": options.steps,
            "batch_size": recipe.batch_size,
            "threads": options.threads,
            "training": pack.digest,
        },
    )
    print(json.dumps({**line, "rounds": len(ratios)}, indent=1))
    if options.save:
        record.append("train_cost", [line])
    return 0


if __name__ == "__main__":
    sys.exit(main())
