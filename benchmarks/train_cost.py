"""What data costs: steps fed by the stream against the same steps on one resident batch.

    python benchmarks/train_cost.py cifar_small FOLDER --steps 5 [--save]
    python benchmarks/train_cost.py alexnet FOLDER --batch-size 16 [--save]

The training pack in FOLDER is streamed as the model's recipe says. A round is so many steps with
the stream and so many on a batch kept from it, one right after the other, by the same loop, net and
threads; rounds change which comes first. Before each the stream fills its buffers, so what is read,
cut and scaled within the steps is as much as they use, and none of it falls into the other's. A
machine's speed drifts by more than what is asked for, but little within a round: a line has the
median of the rounds' ratios of wall time and between which of them the median lies with 95 %
certainty, whatever their distribution; the ratio of processor time, and the share of the time that
the loop waited for data.
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
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import record
import torch

from dsets import models, stream
from dsets.bench import process
from dsets.pack import Pack
from dsets.train import engine, optimizers, recipes
from dsets.train.gradient import Gradient
from dsets.train.meters import Clock, Meter
from dsets.train.planning import field_of

FULL_S = 0.2  # until the stream's buffers are full


def endless(batches: Any) -> Iterator[Any]:
    while True:
        yield from batches


def measure(loop: engine.Loop, feed: Iterator[Any], steps: int) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and the share of waiting of so many steps."""
    loop.clock.lap()
    began, spent = time.perf_counter(), process.processor(os.getpid())
    for _ in loop.epoch(itertools.islice(feed, steps), 0):
        pass
    wall, busy = time.perf_counter() - began, process.processor(os.getpid()) - spent
    return wall, busy, loop.clock.lap().share


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
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=31)
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
    with stream.batches(
        pack,
        recipe.batch_size,
        seed=0,
        transform=recipe.images.training(pack),
        drop_last=True,
        device="cpu",
    ) as batches:
        streamed = endless(batches)
        resident = itertools.repeat(next(streamed))
        measure(loop, streamed, 2)
        rounds = []
        for number in range(options.rounds):
            found = {}
            for name in ("streamed", "resident")[:: 1 if number % 2 == 0 else -1]:
                time.sleep(FULL_S)
                feed = streamed if name == "streamed" else resident
                found[name] = measure(loop, feed, options.steps)
            rounds.append(found)
            print({name: round(figures[0], 3) for name, figures in found.items()}, flush=True)
    ratios = [found["streamed"][0] / found["resident"][0] for found in rounds]
    line = record.line(
        f"{options.model}: steps fed by the stream against steps on a resident batch",
        "ratio of wall time",
        ratios,
        {
            "interval": [round(end, 4) for end in interval(ratios)],
            "rounds": [round(ratio, 4) for ratio in ratios],
            "processor_ratio": round(
                statistics.median(f["streamed"][1] / f["resident"][1] for f in rounds), 4
            ),
            "waiting": round(statistics.median(f["streamed"][2] for f in rounds), 5),
            "seconds_a_step": round(
                statistics.median(f["resident"][0] for f in rounds) / options.steps, 4
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
