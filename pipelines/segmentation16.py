"""Segmentation with more classes than a byte has values: as ``segmentation``, in 16 bits.

``class_mask`` is uint16 (512, 512): 0 background, then the classes from 1 on, 65535 void. It is
painted from the masks of objects, larger ones first. A picture without any mask is quarantined.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dsets import codecs, geometry
from dsets.errors import DataError, PipelineError
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = "image"
SIDE = 512
VOID = 65535
PROFILE = codecs.profile("fast")


def fields(manifest: Manifest) -> tuple[Field, ...]:
    if not {"mask", "labels", "crowd"} <= {field.name for field in manifest.fields}:
        raise PipelineError("this dataset has no masks of objects", where=manifest.name)
    return (Field("image", "uint8", (SIDE, SIDE, 3)), Field("class_mask", "uint16", (SIDE, SIDE)))


def make(sample: Sample) -> Mapping[str, object]:
    values = sample.values
    if not len(values["labels"]):
        raise DataError("no segmentation of this picture", where=sample.key)
    from dsets.codecs import rle

    size = codecs.size_of(values["image"])
    masks = rle.masks(values["mask"], values["mask_ends"], size)
    classes = np.where(values["crowd"], VOID, values["labels"] + 1).astype(np.uint16)
    mask = geometry.masks.painted(masks, classes, size)
    return {
        "image": codecs.resized(values["image"], _size, PROFILE),
        "class_mask": geometry.masks.resized(mask, (SIDE, SIDE)),
    }


def environment() -> Mapping[str, str]:
    return codecs.environment(PROFILE)


def _size(width: int, height: int) -> codecs.Resize:
    return codecs.Resize(SIDE, SIDE, 0, 0, SIDE, SIDE)
