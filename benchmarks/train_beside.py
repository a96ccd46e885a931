"""Accuracy against minutes: one net fed by our stream, and by torchvision's dataset and DataLoader.

    python benchmarks/train_beside.py FOLDER --batches cifar-10-batches-py [--save]

FOLDER holds CIFAR-10's packs, ``--batches`` is the official archive, unpacked. Both contestants
train cifar_small by its recipe with the same loop, seed, threads and evaluation; they take epochs
in turn in one process, the first one changing, so that whatever else the machine does meets both.
Only the epochs' own time counts, not the evaluations. The DataLoader has two workers that stay,
decodes nothing (torchvision keeps CIFAR-10 in memory), and applies torchvision's RandomCrop(32,
padding=4), RandomHorizontalFlip, ToTensor and Normalize.

--save appends to results/train.jsonl.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
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
from dsets.train.recipe import Recipe
from dsets.train.schedule import When
from dsets.transforms import Normalise

MODEL, WORKERS = "cifar_small", 2


class Rows(dict[str, Any]):
    """A batch of a DataLoader as the loop takes it."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__(image=images, label=labels)
        self.valid = np.ones(len(labels), bool)


def torchvision() -> Any:
    """torchvision, also where its compiled operators do not fit torch: none of them is used."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for _ in range(50):
        try:
            import torchvision
        except RuntimeError as error:
            name = re.search(r"torchvision::(\w+) does not exist", str(error))
            if not name:
                raise
            library.define(f"{name[1]}(Tensor x) -> Tensor")
            for loaded in [one for one in sys.modules if one.startswith("torchvision")]:
                del sys.modules[loaded]
        else:
            return torchvision
    raise RuntimeError("torchvision cannot be imported")


def dataloader(batches: Path, pack: Pack, size: int) -> Iterable[Rows]:
    """torchvision's CIFAR-10 through a DataLoader, normalised with the pack's own figures."""
    library = torchvision()
    normal = Normalise.of(pack)
    mean, std = (tuple(value / 255 for value in values) for values in (normal.mean, normal.std))

    class Cifar(library.datasets.CIFAR10):  # type: ignore[misc, name-defined]
        # Copies that are right in every pixel are taken, whatever their archives' digests.
        meta = {  # noqa: RUF012
            **library.datasets.CIFAR10.meta,
            "md5": hashlib.md5((batches / "batches.meta").read_bytes()).hexdigest(),
        }

        def _check_integrity(self) -> bool:
            return True

    steps = library.transforms
    dataset = Cifar(
        str(batches.parent),
        train=True,
        transform=steps.Compose(
            [
                steps.RandomCrop(32, padding=4),
                steps.RandomHorizontalFlip(),
                steps.ToTensor(),
                steps.Normalize(mean, std),
            ]
        ),
    )
    loader = torch.utils.data.DataLoader(
        dataset, size, shuffle=True, num_workers=WORKERS, persistent_workers=True
    )

    class Epochs:
        def __iter__(self) -> Iterator[Rows]:
            return (Rows(images, labels) for images, labels in loader)

    return Epochs()


class Contestant:
    """One net, what feeds it, and the time and accuracy so far."""

    def __init__(self, name: str, feed: Iterable[Any], recipe: Recipe, steps: int) -> None:
        torch.manual_seed(0)
        self.name, self.feed, self.step = name, feed, 0
        self.net = engine.placed(models.find(MODEL).build((32, 32, 3), 10), "cpu")
        epoch_steps = steps // recipe.epochs

        def rate(step: int) -> float:
            return recipe.rate_at(When(step, steps, epoch_steps))

        optimizer = optimizers.optimizer(self.net, recipe.update)
        meter, clock, gradient = Meter(10, "cpu"), Clock(), Gradient(self.net)
        self.loop = engine.Loop(self.net, optimizer, recipe, rate, meter, clock, gradient)
        self.minutes, self.processor, self.waiting, self.top1 = [0.0], [0.0], 0.0, [0.1]

    def epoch(self, evaluation: Callable[[torch.nn.Module], float]) -> None:
        self.loop.meter.reset()
        self.loop.clock.lap()
        began, spent = time.perf_counter(), process.processor(os.getpid())
        for step in self.loop.epoch(self.feed, self.step):
            self.step = step
        wall, busy = time.perf_counter() - began, process.processor(os.getpid()) - spent
        self.waiting += self.loop.clock.lap().waiting
        self.minutes.append(round(self.minutes[-1] + wall / 60, 4))
        self.processor.append(round(self.processor[-1] + busy / 60, 4))
        self.top1.append(evaluation(self.net))
        told = f"{self.top1[-1]:.4f} after {self.minutes[-1]:.2f} min"
        print(f"{self.name}: {told} ({self.processor[-1]:.2f} of processors)", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batches", type=Path, required=True)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's number")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save", action="store_true", help="append to results/train.jsonl")
    options = parser.parse_args()

    recipe = recipes.of(MODEL)
    epochs = options.epochs or recipe.epochs
    training, test = (Pack.open(options.folder / split) for split in ("train", "test"))
    steps = -(-len(training) // recipe.batch_size) * epochs
    torch.set_num_threads(options.threads)
    with (
        stream.batches(
            training,
            recipe.batch_size,
            seed=0,
            transform=recipe.images.training(training),
            device="cpu",
        ) as ours,
        stream.batches(
            test, 500, shuffle=False, transform=recipe.images.evaluation(training), device="cpu"
        ) as shown,
    ):
        feeds = {
            "dsets": ours,
            "DataLoader": dataloader(options.batches, training, recipe.batch_size),
        }
        changed = replace(recipe, epochs=epochs)
        contestants = [Contestant(name, feed, changed, steps) for name, feed in feeds.items()]

        def evaluation(net: torch.nn.Module) -> float:
            return engine.evaluate(net, shown, Meter(10, "cpu")).top1

        for number in range(epochs):
            for contestant in contestants[:: 1 if number % 2 == 0 else -1]:
                contestant.epoch(evaluation)
    lines = [
        record.line(
            f"{MODEL} test accuracy, fed by {one.name}",
            "share",
            [one.top1[-1]],
            {
                "minutes": one.minutes,
                "processor_minutes": one.processor,
                "by_epoch": one.top1,
                "waiting": round(one.waiting / 60 / one.minutes[-1], 4),
                "recipe": changed.plain(),
                "threads": options.threads,
                "workers": WORKERS if one.name == "DataLoader" else 0,
            },
        )
        for one in contestants
    ]
    for line in lines:
        print(json.dumps(line, indent=1))
    if options.save:
        record.append("train", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
