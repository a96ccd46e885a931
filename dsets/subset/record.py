"""``subset.json``: what a subset is, by digests, and what it was made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsets.pack.digests import samples_digest
from dsets.subset.selection import Selection

FILE = "subset.json"
VERSION = 1
LARGEST = 1 << 30
_TEXTS = ("key", "name", "sha256")  # of an image


@dataclass(frozen=True, slots=True)
class Lacking:
    """A sample that was chosen and could not be had. ``reason``: fixed words."""

    key: str
    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image as it was published."""

    key: str
    place: str
    bytes: int
    sha256: str


def identity(
    parent: str, selection: Selection, classes: Sequence[str], annotations: Mapping[str, str]
) -> dict[str, Any]:
    """What was asked for and of what: equal for equal subsets, whatever could be had of them."""
    return {
        "parent": parent,
        "annotations": dict(annotations),
        "classes": list(classes),
        "max": selection.most,
        "seed": selection.seed,
        "only_classes": selection.only,
        "splits": list(selection.splits),
    }


def contents_digest(images: Iterable[Mapping[str, Any]]) -> str:
    """The sha256 of the lines ``KEY SHA256\\n`` of a split's images, sorted by their bytes."""
    lines = sorted(f"{one['key']} {one['sha256']}\n" for one in images)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def render(
    identity: Mapping[str, Any],
    images: Mapping[str, Sequence[Image]],
    lacking: Mapping[str, Sequence[Lacking]],
) -> bytes:
    """The document, always the same bytes for the same subset."""
    listed = {
        name: [
            {"key": one.key, "name": one.place, "bytes": one.bytes, "sha256": one.sha256}
            for one in found
        ]
        for name, found in images.items()
    }
    splits = {
        name: {
            "samples": len(found),
            "samples_digest": samples_digest(one.key for one in found),
            "images_digest": contents_digest(listed[name]),
            "images": listed[name],
            "lacking": [
                {"key": one.key, "name": one.place, "reason": one.reason} for one in lacking[name]
            ],
        }
        for name, found in images.items()
    }
    document = {"version": VERSION, "selection": dict(identity), "splits": splits}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def read(path: Path) -> dict[str, Any] | None:
    """The document at ``path``; None where there is none that can be understood."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(LARGEST))
        good = found["version"] == VERSION and isinstance(found["selection"], dict)
        for split in found["splits"].values():
            good = good and all(set(one) == {"key", "name", "reason"} for one in split["lacking"])
            good = good and type(split["samples_digest"]) is str
            images = split["images"]
            good = good and all(type(one[k]) is str for one in images for k in _TEXTS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if good else None
