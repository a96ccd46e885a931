"""What is drawn on an image follows the view that a batch shows of it.

Boxes and keypoints are moved, scaled and mirrored with the window and cut off at its border; the
number of objects stays, so that labels and flags still stand beside them: what has left the window
is a box without area, an absent keypoint, or a point that is NaN. Maps of indices show 255, void,
beyond the image, panoptic maps 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets import geometry
from dsets.errors import UsageError
from dsets.field import Field
from dsets.stream.ragged import Ragged
from dsets.transforms.view import Views

VOID = 255
_BOXES = ("boxes", "part_boxes", "segment_boxes")
_MOVED = {
    **dict.fromkeys(_BOXES, geometry.boxes),
    "keypoints": geometry.keypoints,
    "points": geometry.points,
}
_RUNS = {"mask": "mask_ends", "stuff_mask": "stuff_mask_ends"}
_KINDS = {
    **dict.fromkeys(_BOXES, ("float32", (None, 4))),
    "keypoints": ("float32", (None, 17, 3)),
    "points": ("float32", (None, 2)),
    **dict.fromkeys(_RUNS, ("uint8", (None,))),
}
#: What maps show beyond the image: void, or no segment.
_MAPS = {"class_mask": VOID, "object_mask": VOID, "panoptic_map": 0}


def drawn(fields: Iterable[Field], size: tuple[int, int]) -> tuple[str, ...]:
    """The fields that follow images of ``size``. Maps are those of the image's own size."""
    return tuple(
        field.name
        for field in fields
        if _KINDS.get(field.name) == (field.dtype, field.shape)
        or (field.name in _MAPS and field.shape == size)
    )


def refuse(fields: Iterable[Field], why: str) -> None:
    """Raise UsageError where a pack has boxes or the like that could not follow."""
    names = [field.name for field in fields if field.name in (*_KINDS, *_MAPS)]
    if names:
        raise UsageError(
            f"{', '.join(names)} cannot follow the image: {why}",
            where="transform",
            remedy="leave these fields out of the pack, or store images of one size",
        )


def follow(
    fields: Mapping[str, Any], names: Iterable[str], views: Views, size: tuple[int, int]
) -> dict[str, Any]:
    """The fields called ``names`` as the views of images of ``size`` show them."""
    made: dict[str, Any] = {}
    for name in names:
        value = fields[name]
        if name in _MOVED:
            made[name] = _moved(value, views, _MOVED[name])
        elif name in _RUNS:
            codes, ends = _masks(value, fields[_RUNS[name]], views, size)
            made |= {name: codes, _RUNS[name]: ends}
        else:
            beyond = _MAPS[name]
            made[name] = np.stack([_map(one, views, row, beyond) for row, one in enumerate(value)])
    return made


def _windows(views: Views, rows: npt.NDArray[np.int64]) -> tuple[Any, Any, Any, Any]:
    """Top, left, height and width of these rows' windows, each (m,) or a number."""
    height, width = views.size
    return (
        0 if views.top is None else views.top[rows],
        0 if views.left is None else views.left[rows],
        height if views.height is None else views.height[rows],
        width if views.width is None else views.width[rows],
    )


def _moved(given: Ragged, views: Views, kind: ModuleType) -> Ragged:
    """Boxes, keypoints or points, whichever module of ``dsets.geometry`` ``kind`` is."""
    inner = (1,) * (given.values.ndim - 2)  # of keypoints, an object has several
    top, left, height, width = (
        one.reshape(-1, *inner) if isinstance(one, np.ndarray) else one
        for one in _windows(views, given.rows)
    )
    found = kind.cropped(given.values, (top, left, height, width))
    found = kind.resized(found, (height, width), views.size)
    if views.mirrored is not None:
        turned = views.mirrored[given.rows].reshape(-1, 1, *inner)
        found = np.where(turned, kind.mirrored(found, views.size[1]), found)
    return Ragged(found, given.offsets)


def _map(mask: Any, views: Views, row: int, outside: int) -> Any:
    top, left, height, width = (int(one) for one in _windows(views, np.array(row)))
    found = geometry.masks.cropped(mask, (top, left, height, width), outside)
    if (height, width) != views.size:
        found = geometry.masks.resized(found, views.size)
    if views.mirrored is not None and views.mirrored[row]:
        found = geometry.masks.mirrored(found)
    return found


def _masks(
    codes: Ragged, ends: Ragged, views: Views, size: tuple[int, int]
) -> tuple[Ragged, Ragged]:
    from dsets.codecs import rle

    made = []
    for row in range(len(codes)):
        masks = rle.masks(codes[row], ends[row], size)
        made.append(rle.encode([_map(mask, views, row, 0) for mask in masks]))
    bounds = np.cumsum([0, *(len(one) for one, _ in made)], dtype=np.int64)
    return (
        Ragged(np.concatenate([one for one, _ in made]), bounds),
        Ragged(np.concatenate([one for _, one in made]), ends.offsets),
    )
