"""What a training run will do, before it does anything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dsets import models, store
from dsets.errors import TrainError, UsageError
from dsets.pack import Pack
from dsets.provenance import packed
from dsets.train import checkpoint, determinism, packs, recipes, shares
from dsets.train import ranks as processes
from dsets.train.numerics import Numerics
from dsets.train.packs import field_of
from dsets.train.recipe import Recipe
from dsets.transforms import recipe as transforms

MOST_THREADS = 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: ``model`` by name, trained on one pack, evaluated on another, kept in ``out``.

    ``ranks`` is the number of processes that train together. ``taken`` is the number of steps that
    a checkpoint in ``out`` has behind it; ``changes`` says what differs from the environment they
    were taken in, so that the bits may differ too.
    """

    model: str
    recipe: Recipe
    training: Pack
    evaluation: Pack
    out: Path
    seed: int
    device: str
    threads: int
    ranks: int
    numerics: Numerics
    taken: int
    changes: tuple[str, ...]

    @property
    def epoch_steps(self) -> int:
        """Steps an epoch; its last batch may be short."""
        return -(-len(self.training) // self.recipe.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        steps = self.epoch_steps * self.recipe.epochs
        return min(steps, self.recipe.steps or steps)

    @property
    def classes(self) -> int:
        return len(field_of(self.training, "label").classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels of an image as the model sees it."""
        return self.recipe.images.shape(field_of(self.training, "image"))

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def identity(self) -> dict[str, Any]:
        """What makes this run this one; plain data. Another identity is another run."""
        return {
            "model": self.model,
            "recipe": self.recipe.plain(),
            "seed": self.seed,
            "precision": self.numerics.precision,
            "training": self.training.digest,
            "evaluation": self.evaluation.digest,
        }

    def environment(self) -> dict[str, str | int | bool]:
        """What the run's bits depend on besides its identity."""
        return determinism.environment(self.threads, self.device, self.ranks, self.numerics)

    def packs(self) -> dict[str, Any]:
        """Where the packs lie and where they come from; plain data."""
        pair = (("training", self.training), ("evaluation", self.evaluation))
        return {role: packed.recorded(pack.index, pack.path) for role, pack in pair}


def plan(
    model: str,
    folder: str | Path,
    out: str | Path | None = None,
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    numerics: Numerics | None = None,
) -> Plan:
    """Plan to train the model called ``model`` on the packs in ``folder``, one a split.

    The pack with statistics is trained on, another evaluated on. ``recipe`` is the model's own
    unless given. ``out`` is by default a folder below ``$DSETS_HOME/runs`` named after the run's
    identity, so the same call finds its checkpoint again. ``threads`` is by default the
    checkpoint's number, or else torch's. Where torchrun started several processes they train
    together, and ``device="cuda"`` is each one's own GPU. Reads; changes nothing.

    Raises:
        UsageError: no such model or device, a bad seed or number of threads, a recipe that cannot
            show these images, such as a crop that is larger.
        TrainError: the packs cannot be trained on, or not by this model or in such batches; ``out``
            holds another run.
        PackError: a pack is damaged.
    """
    models.find(model)
    recipe = recipe or recipes.of(model)
    if not 0 <= seed < 2**32:
        raise UsageError("bad seed", expected="0 to 2**32 - 1", got=seed)
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UsageError("bad number of threads", expected=f"1 to {MOST_THREADS}", got=threads)
    device = processes.own_device(device)
    check_device(device)
    training, evaluation = packs.find(Path(folder))
    _check_images(training, recipe)
    _check_size(training, recipe, model)
    transforms.parse(recipe.images.training(training), training.fields)
    transforms.parse(recipe.images.evaluation(training), evaluation.fields)
    fresh = Plan(
        model=model,
        recipe=recipe,
        training=training,
        evaluation=evaluation,
        out=Path(),
        seed=seed,
        device=device,
        threads=threads or torch.get_num_threads(),
        ranks=processes.launched()[1],
        numerics=numerics or Numerics(),
        taken=0,
        changes=(),
    )
    shown = shares.Shares(len(training), recipe.batch_size, fresh.ranks, recipe.steps)
    shares.check(model, fresh.shape, fresh.classes, shown)
    identity = fresh.identity()
    here = replace(fresh, out=Path(out) if out is not None else _place(identity))
    if not here.checkpoint.exists():
        return here
    kept = checkpoint.load(here.checkpoint, checkpoint.ANEW)
    checkpoint.check(here.checkpoint, kept, identity)
    before = kept.environment
    on = replace(
        here, taken=kept.step, threads=threads or kept.told("threads", MOST_THREADS) or here.threads
    )
    return replace(on, changes=determinism.changes(before, on.environment()))


def _place(identity: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return store.home() / "runs" / f"{identity['model']}-{digest[:8]}"


def check_device(device: str) -> None:
    """Refuse a device that is not one of cpu, cuda and cuda:N, or not here."""
    if device == "cpu":
        return
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise UsageError("no such device", expected="cpu, cuda or cuda:N", got=device) from error
    if kind != "cuda":
        raise UsageError("cannot train on this device", expected="cpu or cuda", got=device)
    if not torch.cuda.is_available():
        raise TrainError("no CUDA device is available", got=device, remedy="use --device cpu")


def _check_images(training: Pack, recipe: Recipe) -> None:
    """Images of one size, or of any that are cut to one."""
    image = field_of(training, "image")
    cut = image.encoded and recipe.images.size
    if not cut and (image.dtype != "uint8" or len(image.shape) != 3 or not image.fixed):
        raise TrainError(
            "cannot train on these images",
            where=training.path,
            expected="image: uint8 (height, width, channels), all of one size; or encoded ones, "
            "and a recipe that crops them",
            got=image,
        )


def _check_size(training: Pack, recipe: Recipe, model: str) -> None:
    """Refuse a crop that is larger than images of one size, by the recipe's own key."""
    image, size = field_of(training, "image"), recipe.images.size
    if recipe.images.crop != "random" or image.encoded or not image.fixed:
        return
    height, width = (int(side or 0) for side in image.shape[:2])
    if size > min(height, width):
        raise UsageError(
            "the crop is larger than the image",
            where=f"recipe {_called(recipe, model)}: images.size",
            expected=f"at most {min(height, width)} for images of {height} x {width}",
            got=size,
            remedy="give a --recipe for smaller images (dsets train --list, or a copy with a "
            "smaller images.size), or packs of larger images",
        )


def _called(recipe: Recipe, model: str) -> str:
    """The name of the model's shipped recipe that shows images like that, if there is one."""
    for known in map(recipes.find, recipes.names()):
        if known.recipe.images == recipe.images and model in known.models:
            return known.name
    return f"for {model}"
