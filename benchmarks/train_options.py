"""What the options of `dsets train` cost or gain: steps on one resident batch, against plain ones.

    torchrun --standalone --nproc-per-node 2 benchmarks/train_options.py cifar_small [--save]

Plain: one process, float32, one piece, not compiled, on all cores. Each option is measured beside
it in every round, in turns of changing order; "2 processes" halves the cores and the batch between
them, while for all others the second process waits. A line has an option's rates over those of
plain steps, round by round: above 1 it is faster. Compiling itself comes before the clock.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass
from itertools import repeat

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import record
import torch
from torch import Tensor, distributed

from dsets import models
from dsets.train import engine, optimizers, ranks, recipes
from dsets.train.gradient import Gradient
from dsets.train.meters import Clock, Meter
from dsets.train.numerics import Numerics
from dsets.train.ranks import ALONE, Ranks

OPTIONS = {
    "plain": Numerics(),
    "bfloat16": Numerics("bfloat16"),
    "accumulate 4": Numerics(accumulate=4),
    "compiled": Numerics(compiled=True),
    "bfloat16, compiled": Numerics("bfloat16", compiled=True),
}
TOGETHER = "2 processes"


@dataclass
class Resident:
    """A batch that is there already."""

    images: Tensor
    labels: Tensor

    def __getitem__(self, field: str) -> Tensor:
        return self.images if field == "image" else self.labels

    @property
    def valid(self) -> np.ndarray:
        return np.ones(len(self.labels), np.bool_)


def loop_of(model: str, numerics: Numerics, crew: Ranks) -> engine.Loop:
    """A loop over a net of its own."""
    torch.manual_seed(0)
    entry, recipe = models.find(model), recipes.of(model)
    net = numerics.applied(engine.placed(entry.build(entry.shape, entry.classes), "cpu"), "cpu")
    optimizer = optimizers.optimizer(net, recipe.update)
    meter, gradient = Meter(entry.classes, "cpu"), Gradient(net, numerics, crew)
    return engine.Loop(net, optimizer, recipe, lambda step: 1e-4, meter, Clock(), gradient)


def seconds(loop: engine.Loop, batch: Resident, steps: int) -> float:
    began = time.perf_counter()
    for _ in loop.epoch(repeat(batch, steps), 0):
        pass
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--save", action="store_true", help="append to results/train_options.jsonl")
    options = parser.parse_args()
    height, width, channels = models.find(options.model).shape
    random = torch.Generator().manual_seed(0)
    whole = Resident(
        torch.randn(options.batch_size, channels, height, width, generator=random),
        torch.randint(0, models.find(options.model).classes, (options.batch_size,)),
    )
    cores = os.cpu_count() or 1
    with ranks.joined("cpu") as crew:
        share = Resident(
            *(part.tensor_split(crew.world)[crew.rank] for part in (whole.images, whole.labels))
        )
        loops = (
            {name: loop_of(options.model, numerics, ALONE) for name, numerics in OPTIONS.items()}
            if crew.first
            else {}
        )
        loops[TOGETHER] = loop_of(options.model, Numerics(), crew)
        rounds = []
        for number in range(-1, options.rounds):
            found = {}
            for name in [*OPTIONS, TOGETHER][:: 1 if number % 2 == 0 else -1]:
                distributed.barrier()
                together = name == TOGETHER
                torch.set_num_threads(max(1, cores // crew.world) if together else cores)
                if together or crew.first:
                    found[name] = seconds(loops[name], share if together else whole, options.steps)
            if number >= 0:  # the first one compiles and warms up
                rounds.append(found)
        distributed.barrier()
    if not crew.first:
        return 0
    lines = [
        record.line(
            f"{options.model}: steps, {name}, over plain steps",
            "ratio of images a second",
            [found["plain"] / found[name] for found in rounds],
            {
                "images_per_second": round(
                    statistics.median(options.steps * options.batch_size / f[name] for f in rounds),
                    1,
                ),
                "steps": options.steps,
                "batch_size": options.batch_size,
            },
        )
        for name in [*OPTIONS, TOGETHER]
    ]
    for line in lines:
        print({name: line[name] for name in ("what", "median", "min", "max", "images_per_second")})
    if options.save:
        record.append("train_options", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
