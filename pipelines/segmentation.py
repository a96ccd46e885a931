"""Segmentation: the whole picture at 512 x 512, uint8 RGB, and a class for each pixel.

``class_mask`` is uint8 (512, 512), resized to the nearest pixel: 0 background, then the classes
from 1 on, 255 void. Where a dataset has masks of objects only, they are painted, larger ones first;
crowds are void. Of a picture with panoptic segments or stuff, those are painted instead, with the
classes of theirs; beyond all panoptic segments is void. A picture without any mask is quarantined.
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
    for name in ("labels", "stuff_labels", "segment_labels"):
        if name in given and len(given[name].classes) >= VOID:
            raise PipelineError(
                "more classes than a byte has values",
                where=manifest.name,
                expected=f"at most {VOID - 1}",
                got=len(given[name].classes),
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
    """uint8 (height, width): the class of the segment, or of the smallest region, at each pixel."""
    from dsets.codecs import rle

    if "panoptic_map" in values and values["panoptic_map"].size:
        return _segments(values)
    size = codecs.size_of(values["image"])
    if "stuff_labels" in values and len(values["stuff_labels"]):
        masks = rle.masks(values["stuff_mask"], values["stuff_mask_ends"], size)
        return geometry.masks.painted(masks, (values["stuff_labels"] + 1).astype(np.uint8), size)
    masks = rle.masks(values["mask"], values["mask_ends"], size)
    classes = np.where(values["crowd"], VOID, values["labels"] + 1).astype(np.uint8)
    return geometry.masks.painted(masks, classes, size)


def _segments(values: Mapping[str, Any]) -> Any:
    ids, painted = values["segment_ids"], values["panoptic_map"]
    classes = np.where(values["segment_crowd"], VOID, values["segment_labels"] + 1)
    order = np.argsort(ids, kind="stable")
    place = np.searchsorted(ids[order], painted)
    known = np.append(ids[order], -1)[place] == painted  # 0, and ids that the JSON lacks, are void
    return np.where(known, np.append(classes[order], VOID)[place], VOID).astype(np.uint8)


def _size(width: int, height: int) -> codecs.Resize:
    return codecs.Resize(SIDE, SIDE, 0, 0, SIDE, SIDE)
