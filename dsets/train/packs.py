"""The packs that a run trains and evaluates on: which they are, and whether they go together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsets.errors import TrainError
from dsets.field import Field
from dsets.pack import Pack

#: Of several packs beside the training one, the first of these names is evaluated on.
EVALUATION_SPLITS = ("validation", "val", "test")
#: So many folders are named where one was meant.
NAMED = 5


def find(folder: Path) -> tuple[Pack, Pack]:
    """The training pack in the folder and the one to evaluate on.

    Raises:
        TrainError: there are no such two packs, or they do not go together: other fields, or labels
            that name no class.
        PackError: a pack is damaged.
    """
    if (folder / "index.json").exists():
        raise TrainError(
            "this is one pack", where=folder, expected="a folder that holds one pack a split"
        )
    found = [Pack.open(path.parent) for path in sorted(folder.glob("*/index.json"))]
    if not found:
        below = sorted({str(path.parent.parent) for path in folder.glob("*/*/index.json")})
        raise TrainError(
            "cannot tell the training pack: there are no packs here",
            where=folder,
            expected="a folder that holds one pack a split",
            got="none",
            remedy=f"one level below there are packs: give {' or '.join(below[:NAMED])}"
            if below
            else "make the packs with dsets prepare",
        )
    training = [pack for pack in found if pack.statistics is not None]
    if len(training) != 1:
        raise TrainError(
            "cannot tell the training pack",
            where=folder,
            expected="one pack with statistics in it",
            got=", ".join(pack.split for pack in training) or "none",
            remedy="make the packs with dsets prepare",
        )
    others = {pack.split: pack for pack in found if pack.statistics is None}
    names = [name for name in EVALUATION_SPLITS if name in others] or list(others)[:1]
    if not names:
        raise TrainError("no pack to evaluate on", where=folder, expected="a second split")
    evaluation = others[names[0]]
    if evaluation.index.statistics_of not in (None, training[0].digest):
        raise TrainError(
            f"was not made beside the training pack {training[0].split!r}",
            where=evaluation.path,
            expected=f"statistics_of {training[0].digest}",
            got=evaluation.index.statistics_of,
            remedy="make both packs with one dsets prepare",
        )
    _check_fields(training[0], evaluation)
    return training[0], evaluation


def _check_fields(training: Pack, evaluation: Pack) -> None:
    """The same images and labels in both packs, and labels that name classes."""
    image, label = field_of(training, "image"), field_of(training, "label")
    if label.shape != () or not label.dtype.startswith(("int", "uint")) or not label.classes:
        raise TrainError(
            "cannot train on these labels",
            where=training.path,
            expected="label: an integer () whose field names the classes",
            got=f"{label} with {len(label.classes)} classes",
        )
    for name, field in (("image", image), ("label", label)):
        other = field_of(evaluation, name)
        if (other.shape, other.classes) != (field.shape, field.classes):
            raise TrainError(
                f"the packs disagree on {name}", where=evaluation.path, expected=field, got=other
            )
    for pack in (training, evaluation):
        _check_labels(pack, len(label.classes))


def field_of(pack: Pack, name: str) -> Field:
    """The pack's field of that name. Raises TrainError where it has none."""
    for field in pack.fields:
        if field.name == name:
            return field
    known = ", ".join(field.name for field in pack.fields)
    raise TrainError(f"the pack has no field {name!r}", where=pack.path, got=known)


def _check_labels(pack: Pack, classes: int) -> None:
    if len(pack) == 0:
        raise TrainError("the pack holds no samples", where=pack.path)
    bounds = []
    for part, start in zip(pack.reserved("label"), pack.starts[:-1], strict=True):
        if part.size:
            with pack.holding(np.array([start])):  # of a remote pack, one shard at a time
                bounds += [part.min(), part.max()]
    least, most = min(bounds), max(bounds)
    if least < 0 or most >= classes:
        raise TrainError(
            "a label names no class",
            where=pack.path,
            expected=f"0 to {classes - 1}",
            got=f"{least} to {most}",
        )
