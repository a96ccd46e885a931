"""Segmentation: the whole picture at 512 x 512, uint8 RGB, and a class for each pixel.

``class_mask`` is uint8 (512, 512), resized to the nearest pixel: 0 background, then the classes
from 1 on, 255 void. Where a dataset has masks of objects only, they are painted, larger ones first;
crowds are void. A picture without any mask is quarantined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dsets import codecs, geometry
from dsets.errors import DataError, PipelineError
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = "image"
SIDE = 512
VOID = 255
PROFILE = codecs.profile("fast")


def fields(manifest: Manifest) -> tuple[Field, ...]:
    given = {field.name: field for field in manifest.fields}
    if "class_mask" not in given and "mask" not in given:
        raise PipelineError("this dataset has no masks", where=manifest.name)
    if "labels" in given and len(given["labels"].classes) >= VOID:
        raise PipelineError(
            "more classes than a byte has values",
            where=manifest.name,
            expected=f"at most {VOID - 1}",
            got=len(given["labels"].classes),
            remedy="--pipeline segmentation16",
        )
    return (Field("image", "uint8", (SIDE, SIDE, 3)), Field("class_mask", "uint8", (SIDE, SIDE)))


def make(sample: Sample) -> Mapping[str, object]:
    values = sample.values
    mask = values["class_mask"] if "class_mask" in values else _painted(values)
    if not mask.size:
        raise DataError("no segmentation of this picture", where=sample.key)
    return {
        "image": codecs.resized(values["image"], _size, PROFILE),
        "class_mask": geometry.masks.resized(mask, (SIDE, SIDE)),
    }


def environment() -> Mapping[str, str]:
    return codecs.environment(PROFILE)


def _painted(values: Mapping[str, Any]) -> Any:
    """uint8 (height, width): the class of the smallest object at each pixel."""
    from dsets.codecs import rle

    size = codecs.size_of(values["image"])
    masks = rle.masks(values["mask"], values["mask_ends"], size)
    classes = np.where(values["crowd"], VOID, values["labels"] + 1).astype(np.uint8)
    return geometry.masks.painted(masks, classes, size)


def _size(width: int, height: int) -> codecs.Resize:
    return codecs.Resize(SIDE, SIDE, 0, 0, SIDE, SIDE)
