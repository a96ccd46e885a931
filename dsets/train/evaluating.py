"""A run's weights judged: on a split that is named, with one crop of each image or ten.

Where torchrun started several processes each looks at its share, and every image counts once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dsets import atomic, codecs, models, stream
from dsets.errors import StreamError, TrainError, UsageError
from dsets.pack import Pack
from dsets.train import checkpoint, determinism, engine, memory, pictures, recipe_file, weights
from dsets.train import ranks as processes
from dsets.train.bounds import check
from dsets.train.checkpoint import Checkpoint
from dsets.train.engine import Batch
from dsets.train.meters import Figures, Meter
from dsets.train.numerics import MOST_PIECES, Numerics
from dsets.train.packs import field_of
from dsets.train.planning import check_device
from dsets.train.ranks import Ranks
from dsets.train.recipe import Recipe
from dsets.transforms.ten_crop import CROPS


@dataclass(frozen=True, slots=True)
class Run:
    """Weights as a checkpoint has them, and the packs that they belong to.

    ``model`` is on the CPU; ``shape`` is what it sees of an image (height, width, channels).
    """

    path: Path
    kept: Checkpoint
    recipe: Recipe
    training: Pack
    pack: Pack
    model: nn.Module
    shape: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """``confusion`` is int64 (classes, classes): how often each (row) was taken for each (column).

    ``crops`` is 1 or 10, ``size`` the side of a crop in pixels, 0 for the whole image.
    """

    figures: Figures
    confusion: NDArray[np.int64]
    crops: int
    size: int


def find(path: Path, folder: Path, split: str | None = None) -> Run:
    """The run in ``path`` with packs from ``folder``: the one it was trained on, whose statistics
    are needed, and the one to evaluate on, which is ``split`` or the run's own.

    Raises:
        TrainError: no checkpoint, a damaged one, or the packs are not those of the run.
        PackError: a pack is damaged.
    """
    if not (path / "checkpoint.pt").exists():
        raise TrainError(
            "not a run: there is no checkpoint in it",
            where=path,
            expected="checkpoint.pt",
            remedy="give the --out of a training run",
        )
    kept = checkpoint.load(path / "checkpoint.pt")
    where = path / "checkpoint.pt"
    identity = kept.identity
    packs = [Pack.open(index.parent) for index in sorted(folder.glob("*/index.json"))]
    training = _one(packs, "digest", identity.get("training"), folder)
    if split is None:
        pack = _one(packs, "digest", identity.get("evaluation"), folder)
    else:
        pack = _one(packs, "split", split, folder)
    name, recipe = identity.get("model"), identity.get("recipe")
    if not isinstance(name, str) or not isinstance(recipe, dict):
        raise TrainError("checkpoint does not say what was trained", where=where)
    read = recipe_file.of_plain(recipe, str(where))
    image, label = (field_of(training, field) for field in ("image", "label"))
    if any(field_of(pack, one.name).shape != one.shape for one in (image, label)):
        raise TrainError("the packs disagree on image or label", where=pack.path, expected=image)
    shape = read.images.shape(image)
    model = models.find(name).build(shape, len(label.classes))
    try:
        weights.load(model, kept.model)
    except ValueError as error:
        raise TrainError(f"checkpoint does not fit its model: {error}", where=where) from error
    return Run(path, kept, read, training, pack, model, shape)


def evaluate(
    run: Run,
    *,
    crops: int | None = None,
    size: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    precision: str = "float32",
    batch_size: int | None = None,
) -> Evaluation:
    """The figures and confusions of the run's weights over the whole of its pack.

    Ten crops are four corners and the centre and their mirror images, their softmax averaged
    (Krizhevsky et al. 2012, section 4.1). ``crops`` is by default what the recipe says, ``size``
    the recipe's. ``precision`` is that of ``Numerics``. ``batch_size`` is the number of views that
    are computed at once over all processes, but at least one image with its crops; by default as
    many as the run's training held. The figures hang on it by rounding only. Of several processes
    each returns the figures of all.

    Raises:
        UsageError: ten crops of no size, or of one larger than the image; no such precision or
            device; a bad ``batch_size``.
        TrainError: the model does not take crops of that size; memory runs out; the processes
            differ in what they evaluate, or one is gone.
    """
    if crops not in (None, 1, CROPS):
        raise UsageError("bad number of crops", expected=f"1 or {CROPS}", got=crops)
    if batch_size is not None:
        check("batch_size", batch_size, 1, 10**6)
    images = run.recipe.images
    ten = images.ten_crop if crops is None else crops == CROPS
    side = images.size if size is None else size
    if ten and not side:
        raise UsageError(
            "ten crops need a size",
            where=run.path,
            expected="pixels, fewer than the images have",
            remedy="this recipe shows the whole image; give --size",
        )
    count = CROPS if ten else 1
    pieces = run.kept.told("accumulate", MOST_PIECES) or 1
    views = batch_size or memory.held(run.recipe.batch_size, pieces)
    numerics = Numerics(precision)
    transform = images.evaluation(run.training, side if ten else 0)
    device = processes.own_device(device)
    check_device(device)
    model = engine.placed(run.model, device)
    with processes.joined(device) as ranks:
        ranks.agree(
            {
                "weights": weights.digest(model.state_dict()),
                "pack": run.pack.digest,
                "crops": (ten, side),
                "precision": precision,
            }
        )
        try:
            with (
                memory.told(run.path, "give a smaller --batch-size, or a smaller --size of crops"),
                determinism.exact(threads or torch.get_num_threads(), device),
                numerics.autocast(device),
                stream.batches(
                    run.pack,
                    max(1, views // count),
                    shuffle=False,
                    transform=transform,
                    rank=(ranks.rank, ranks.world),
                    device=device,
                ) as batches,
            ):
                figures, confusion = _judged(model, batches, run, ranks, device)
        except RuntimeError as error:
            if isinstance(error, StreamError | TrainError):
                raise
            raise TrainError(
                "the model does not take these crops",
                where=run.path,
                expected=f"images of {run.shape[0]} x {run.shape[1]}, for which the model was made",
                got=f"size {side}: {error}",
            ) from error
    return Evaluation(figures, confusion, count, side if ten else 0)


def _judged(
    model: nn.Module, batches: Iterable[Batch], run: Run, ranks: Ranks, device: str
) -> tuple[Figures, NDArray[np.int64]]:
    """The figures and confusions of all batches of all processes."""
    classes = len(field_of(run.training, "label").classes)
    meter = Meter(classes, device, ranks)
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    for logits, truth, valid in engine.predictions(model, batches):
        losses = functional.cross_entropy(logits, truth, reduction="none")
        meter.add(logits, truth, losses, valid)
        counts += _counted(logits, truth, valid, classes)
    return meter.figures(), ranks.sum(counts).numpy()


def write(run: Run, evaluation: Evaluation, out: Path) -> tuple[Path, ...]:
    """Write evaluation.json, confusion.png, curves.png and, where the first layer is a convolution
    of one or three channels, filters.png into the folder ``out``, which is made if need be.

    Raises:
        TrainError: they cannot be written, as where the disk is full.
    """
    names = field_of(run.training, "label").classes
    drawn = {
        "confusion.png": pictures.confusion(evaluation.confusion, names),
        "curves.png": pictures.curves(run.path / "log.jsonl"),
    }
    if (kernels := first_layer(run.model)) is not None:
        drawn["filters.png"] = pictures.filters(kernels)
    told = json.dumps(plain(run, evaluation)) + "\n"
    files = {"evaluation.json": told.encode()}
    files |= {name: codecs.encode_png(pixels) for name, pixels in drawn.items()}
    try:
        for name, data in files.items():
            with atomic.replacing(out / name) as part:
                part.write_bytes(data)
    except OSError as error:
        raise TrainError(
            f"cannot write the evaluation: {error.strerror}",
            where=out,
            remedy="make the folder writable and room in it, or give another --out",
        ) from error
    return tuple(out / name for name in files)


def plain(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation for JSON; ``confusion`` has a list for each true class."""
    figures = evaluation.figures.plain()
    errors = {f"{name}_error": 1 - float(figures[name] or 0) for name in figures if "top" in name}
    return {
        **figures,
        **errors,
        "crops": evaluation.crops,
        "size": evaluation.size,
        "step": run.kept.step,
        "split": run.pack.split,
        "pack": run.pack.digest,
        "identity": run.kept.identity,
        "classes": list(field_of(run.training, "label").classes),
        "confusion": evaluation.confusion.tolist(),
    }


def first_layer(model: nn.Module) -> NDArray[np.float32] | None:
    """The kernels float32 (kernels, channels, height, width) of the model's first convolution; None
    if there is none, or it sees neither one channel nor three."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            if layer.in_channels not in (1, 3) or layer.groups != 1:
                return None
            kernels: NDArray[np.float32] = layer.weight.detach().float().cpu().numpy()
            return kernels
    return None


def _counted(logits: Tensor, truth: Tensor, valid: Tensor, classes: int) -> Tensor:
    pairs = truth * classes + logits.argmax(1)
    return torch.bincount(pairs[valid].cpu(), minlength=classes**2).reshape(classes, classes)


def _one(packs: list[Pack], attribute: str, value: object, folder: Path) -> Pack:
    for pack in packs:
        if getattr(pack, attribute) == value:
            return pack
    raise TrainError(
        "not the packs of this run",
        where=folder,
        expected=f"a pack of {attribute} {value}",
        got=", ".join(str(getattr(pack, attribute)) for pack in packs) or "no packs",
        remedy="give the folder of packs that it was trained on",
    )
