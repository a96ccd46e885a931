"""Tiny runs of a net that draws random numbers, and what they leave behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dsets import train
from dsets.train import checkpoint
from dsets.train.images import Images
from dsets.train.recipe import Recipe
from dsets.train.update import Update

ROOT = Path(__file__).parents[2]

#: Two epochs of five steps, everything random switched on, each step in the log.
RECIPE = Recipe(
    epochs=2,
    batch_size=8,
    update=Update(rate=0.05, weight_decay=1e-3),
    images=Images(crop="pad", padding=2, flip=True),
    log_steps=1,
)


def dropping(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """A net that draws from torch's generator in every step, and counts batches in a buffer."""
    height, width, channels = shape
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(height * width * channels, 8),
        nn.BatchNorm1d(8),
        nn.Dropout(0.5),
        nn.Linear(8, classes),
    )


def run(packs: Path, out: Path, recipe: Recipe = RECIPE, **options: Any) -> train.Result:
    return train.run(train.plan("tiny", packs, out, recipe=recipe, threads=1), **options)


def after(steps: int) -> Callable[[], bool]:
    """Asks to stop when it has been asked that many times, which is once a step."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= steps

    return stop


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(out / "checkpoint.pt").model


def assert_same(out: Path, undisturbed: Path) -> None:
    assert (out / "log.jsonl").read_bytes() == (undisturbed / "log.jsonl").read_bytes()
    ours, theirs = weights(out), weights(undisturbed)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
