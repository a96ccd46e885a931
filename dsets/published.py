"""Statistics that others have published of a dataset, to set beside those of a pack.

They are data: ``<dataset>.statistics.json`` beside the shipped manifests, a list of entries

    {"name", "source", "range": 255 or 1, "channels": "RGB" or "BGR",
     "mean", "std", "pca_values", "pca_vectors", "notes"}

of which the last five may be missing. ``pca_vectors`` are rows as printed: each column is a
component, and each row belongs to a channel.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dsets.errors import UsageError

if TYPE_CHECKING:
    from dsets.pack.statistics import Statistics

_SUFFIX = ".statistics.json"
_ORDERS = {"RGB": slice(None), "BGR": slice(None, None, -1)}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Published:
    """What one source says. ``values`` are in its own unit (0 to ``range``) and channel order."""

    name: str
    source: str
    range: int
    channels: str
    values: dict[str, Floats]
    notes: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One published figure beside ours, both in the source's unit and channel order.

    ``difference`` is the greatest absolute one; for components the greatest angle in degrees.
    """

    figure: str
    theirs: Floats
    ours: Floats
    difference: float


def names() -> list[str]:
    """The datasets of which something is published here."""
    found = (entry.name for entry in files("dsets.manifests").iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))


def find(name: str) -> tuple[Published, ...]:
    """What was published of a dataset. Raises UsageError when nothing was."""
    if name not in names():
        raise UsageError(
            "no published statistics", expected=f"one of {', '.join(names())}", got=repr(name)
        )
    entries = json.loads(files("dsets.manifests").joinpath(name + _SUFFIX).read_text("utf-8"))
    return tuple(map(_entry, entries))


def compare(published: Published, statistics: Statistics) -> tuple[Comparison, ...]:
    """A pack's statistics beside the published ones.

    Raises:
        UsageError: the pack's images do not have three channels.
    """
    if statistics.channels != 3:
        raise UsageError(
            "nothing to compare with", expected="3 channels", got=f"{statistics.channels}"
        )
    order = _ORDERS[published.channels]
    scale = published.range / 255
    values, vectors = statistics.pca()
    ours = {
        "mean": statistics.channel_mean[order] * scale,
        "std": statistics.channel_std[order] * scale,
        "pca_values": values * published.range**2,
        "pca_vectors": vectors[order],
    }
    return tuple(
        _beside(figure, theirs, ours[figure]) for figure, theirs in published.values.items()
    )


def _beside(figure: str, theirs: Floats, ours: Floats) -> Comparison:
    if figure != "pca_vectors":
        return Comparison(figure, theirs, ours, float(np.abs(theirs - ours).max()))
    lengths = np.linalg.norm(theirs, axis=0)
    cosines = (theirs * ours).sum(0) / lengths
    signs = np.where(cosines < 0, -1.0, 1.0)  # a component has no sign: show ours as they do
    angles = np.degrees(np.arccos(np.minimum(np.abs(cosines), 1.0)))
    return Comparison(figure, theirs, ours * signs, float(angles.max()))


def _entry(found: dict[str, Any]) -> Published:
    figures = ("mean", "std", "pca_values", "pca_vectors")
    return Published(
        found["name"],
        found["source"],
        found["range"],
        found["channels"],
        {name: np.array(found[name], np.float64) for name in figures if name in found},
        found.get("notes", ""),
    )
