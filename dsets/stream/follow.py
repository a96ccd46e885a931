"""What is drawn on an image follows the view that a batch shows of it.

Boxes and keypoints are moved, scaled and mirrored with the window and cut off at its border; the
number of objects stays, so that labels and flags still stand beside them: what has left the window
is a box without area, an absent keypoint, or a point that is NaN. Maps of indices show void beyond
the image, 255, in 16 bits 65535, panoptic maps 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets import geometry
from dsets.errors import DataError, UsageError
from dsets.field import Field
from dsets.stream.gather import Unreadable
from dsets.stream.ragged import Ragged
from dsets.transforms.view import Views

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
_ENDS = ("int64", (None,))
#: Maps of the image's own size, and what they are made of as a rule.
_MAPS = {"class_mask": "uint8", "object_mask": "uint8", "panoptic_map": "int32"}


def drawn(fields: Iterable[Field], size: tuple[int, int], pads: bool) -> tuple[str, ...]:
    """The fields that follow images of ``size``; with ``pads`` views show what lies beyond them.

    Raises:
        UsageError: a field that is called like one of them is of another kind, or masks are there
            without their ends.
    """
    given = {field.name: field for field in fields}
    names = tuple(name for name in given if name in _KINDS or name in _MAPS)
    for name in names:
        if name in _MAPS:
            _check_map(given[name], size, pads)
            continue
        _check(name, _KINDS[name], given[name])
        if name in _RUNS:
            _check(name, _ENDS, given.get(_RUNS[name]), _RUNS[name])
    return names


def _check(
    name: str, kind: tuple[str, tuple[int | None, ...]], field: Field | None, ends: str = ""
) -> None:
    """Raise UsageError where a field, or the one with its ``ends``, is not of this kind."""
    if field is None or (field.dtype, field.shape) != kind:
        raise _other(name, str(Field(ends or name, *kind)), field)


def _check_map(field: Field, size: tuple[int, int], pads: bool) -> None:
    void = _void(field.name, field.dtype)
    held = not pads or np.array(void).astype(field.dtype) == void
    if field.shape != size or not held:
        kind = Field(field.name, _MAPS[field.name], size)
        needed = f", or another type that holds {void}" if pads and void else ""
        raise _other(field.name, f"{kind}{needed}", field)


def _other(name: str, expected: str, got: Field | None) -> UsageError:
    return UsageError(
        f"the field {name!r} could not follow the image",
        where="transform",
        expected=expected,
        got=got or "no such field",
        remedy="write the pack with such a field; or, where it is not drawn on the image, under "
        "another name; or leave out crops and Flip",
    )


def _void(name: str, dtype: Any) -> int:
    """What a map shows beyond the image: void, or no segment."""
    if name == "panoptic_map":
        return 0
    return 65535 if dtype == "uint16" else 255


def refuse(fields: Iterable[Field], why: str) -> None:
    """Raise UsageError where a pack has boxes or the like that could not follow."""
    names = [field.name for field in fields if field.name in (*_KINDS, *_MAPS)]
    if names:
        raise UsageError(
            f"{', '.join(names)} cannot follow the image: {why}",
            where="transform",
            remedy="write the pack without them, or with images of one size, or, where they are "
            "not drawn on the image, under other names",
        )


def follow(
    fields: Mapping[str, Any],
    names: Iterable[str],
    views: Views,
    size: tuple[int, int],
    index: npt.NDArray[np.int64],
) -> dict[str, Any]:
    """The fields called ``names`` of the samples ``index`` as the views of images of ``size`` show
    them.

    Raises:
        Unreadable: run lengths that are no masks of that size.
    """
    made: dict[str, Any] = {}
    for name in names:
        value = fields[name]
        if name in _MOVED:
            made[name] = _moved(value, views, _MOVED[name])
        elif name in _RUNS:
            ends = fields[_RUNS[name]]
            made[name], made[_RUNS[name]] = _masks(name, value, ends, views, size, index)
        else:
            beyond = np.array(_void(name, value.dtype)).astype(value.dtype).item()
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
    name: str,
    codes: Ragged,
    ends: Ragged,
    views: Views,
    size: tuple[int, int],
    index: npt.NDArray[np.int64],
) -> tuple[Ragged, Ragged]:
    from dsets.codecs import rle

    made = []
    for row, number in enumerate(index.tolist()):
        try:
            masks = rle.masks(codes[row], ends[row], size)
        except DataError as error:
            raise Unreadable({number: f"{name}: {error.what}"}) from error
        made.append(rle.encode([_map(mask, views, row, 0) for mask in masks]))
    bounds = np.cumsum([0, *(len(one) for one, _ in made)], dtype=np.int64)
    return (
        Ragged(np.concatenate([one for one, _ in made]), bounds),
        Ragged(np.concatenate([one for _, one in made]), ends.offsets),
    )
