"""Boxes, masks and keypoints drawn on a picture, to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PART = (255, 255, 255)
#: Which of COCO's 17 keypoints are joined.
_BONES = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7)),
    *((6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)


def drawn(values: Mapping[str, Any], classes: Mapping[str, Sequence[str]]) -> NDArray[np.uint8]:
    """uint8 (height, width, 3): the sample's picture with all that it has of annotations.

    ``classes``: field → the names of its classes. Things have theirs above their boxes, stuff and
    panoptic segments, which have no box drawn, within their pixels.
    """
    from PIL import Image, ImageDraw

    from dsets import codecs

    image = values["image"]
    pixels = codecs.decode(image) if isinstance(image, bytes) else image
    pixels = np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels
    size = pixels.shape[:2]
    pixels = pixels.astype(np.float32)
    regions = _named(values, size, classes)
    for mask, colour in (*_masks(values, size), *(one[:2] for one in regions)):
        pixels[mask] = pixels[mask] / 2 + np.array(colour, np.float32) / 2
    picture = Image.fromarray(pixels.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    names = [
        (*_within(mask), name, colour) for mask, colour, name in regions if name and mask.any()
    ]
    for xmin, ymin, xmax, ymax in _rows(values, "part_boxes"):
        pen.rectangle((xmin, ymin, max(xmin, xmax - 1), max(ymin, ymax - 1)), outline=_PART)
    known = classes.get("labels", ())
    for i, (xmin, ymin, xmax, ymax) in enumerate(_rows(values, "boxes")):
        label = int(values["labels"][i]) if "labels" in values else i
        right, bottom = max(xmin, xmax - 1), max(ymin, ymax - 1)
        pen.rectangle((xmin, ymin, right, bottom), outline=_colour(label + 1), width=2)
        if 0 <= label < len(known):
            names.append((xmin, ymin, known[label], _colour(label + 1)))
    for points in _rows(values, "keypoints"):
        for one, other in _BONES:
            if points[one][2] > 0 and points[other][2] > 0:
                pen.line((*points[one][:2], *points[other][:2]), fill=(255, 255, 0), width=2)
        for x, y, visible in points:
            if visible > 0:
                pen.ellipse(
                    (x - 2, y - 2, x + 2, y + 2), fill=(255, 0, 0) if visible > 1 else (0, 0, 255)
                )
    for x, y, name, colour in names:
        _tag(pen, (x, y), name, colour)
    return np.asarray(picture)


def _tag(pen: Any, corner: tuple[float, float], name: str, colour: tuple[int, int, int]) -> None:
    """A name that can be read on any picture: on its box's colour, above the box, or within it."""
    _, _, width, height = pen.textbbox((0, 0), name)
    x = max(min(corner[0], pen.im.size[0] - width - 4), 0)
    y = corner[1] - height - 1 if corner[1] > height else max(corner[1], 0)
    pen.rectangle((x, y, x + width + 3, y + height + 1), fill=colour)
    red, green, blue = colour
    dark = 299 * red + 587 * green + 114 * blue < 128_000
    pen.text((x + 2, y), name, fill=(255, 255, 255) if dark else (0, 0, 0))


def _rows(values: Mapping[str, Any], name: str) -> list[Any]:
    return values[name].tolist() if name in values else []


def _masks(values: Mapping[str, Any], size: tuple[int, int]) -> list[tuple[Any, Any]]:
    """Which pixels get which colour."""
    found: list[tuple[Any, Any]] = []
    if "mask" in values:
        from dsets.codecs import rle

        masks = rle.masks(values["mask"], values["mask_ends"], size)
        labels = values["labels"].tolist()
        found += [(m > 0, _colour(n + 1)) for m, n in zip(masks, labels, strict=True)]
    if "class_mask" in values and values["class_mask"].shape == size:
        indices = values["class_mask"]
        found += [(indices == one, _colour(int(one))) for one in np.unique(indices) if one]
    return found


def _named(
    values: Mapping[str, Any], size: tuple[int, int], classes: Mapping[str, Sequence[str]]
) -> list[tuple[Any, tuple[int, int, int], str]]:
    """Pixels, colour and name of each region of stuff and each panoptic segment."""
    found = []
    if "stuff_mask" in values:
        from dsets.codecs import rle

        masks = rle.masks(values["stuff_mask"], values["stuff_mask_ends"], size)
        for mask, label in zip(masks, values["stuff_labels"].tolist(), strict=True):
            found.append((mask > 0, _colour(label + 1), _name(classes, "stuff_labels", label)))
    if "panoptic_map" in values and values["panoptic_map"].shape == size:
        indices = values["panoptic_map"]
        said = zip(values.get("segment_ids", ()), values.get("segment_labels", ()), strict=False)
        labels = {int(number): int(label) for number, label in said}
        for one in np.unique(indices[indices != 0]).tolist():
            name = _name(classes, "segment_labels", labels.get(one, -1))
            found.append((indices == one, _colour(one), name))
    return found


def _name(classes: Mapping[str, Sequence[str]], field: str, label: int) -> str:
    known = classes.get(field, ())
    return known[label] if 0 <= label < len(known) else ""


def _within(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """x and y of a pixel in the middle of a mask's rows, and of its pixels there."""
    rows = np.flatnonzero(mask.any(1))
    row = int(rows[len(rows) // 2])
    columns = np.flatnonzero(mask[row])
    return float(columns[len(columns) // 2]), float(row)


def _colour(index: int) -> tuple[int, int, int]:
    """A colour of its own for each class, as VOC's palette has them: bits dealt out in turn."""
    colour = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            colour[channel] |= (index >> channel & 1) << (7 - place)
        index >>= 3
    return colour[0], colour[1], colour[2]
