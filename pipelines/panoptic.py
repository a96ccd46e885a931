"""Panoptic: the whole picture at 512 x 512, uint8 RGB, and the segment that each pixel is of.

``panoptic_map`` is int32 (512, 512), resized to the nearest pixel: the id of a segment, 0 where
there is none. ``segment_ids``, ``segment_labels``, ``segment_crowd`` and ``segment_boxes`` float32
(n, 4), in pixels of the 512 x 512, stand in one order; a small segment may have lost all its
pixels. A picture without a panoptic map is quarantined.
"""

from __future__ import annotations

from collections.abc import Mapping

from dsets import codecs, geometry
from dsets.errors import DataError, PipelineError
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = "image"
SIDE = 512
PROFILE = codecs.profile("fast")
KEPT = ("segment_ids", "segment_labels", "segment_crowd", "segment_boxes", "size", "image_id")


def fields(manifest: Manifest) -> tuple[Field, ...]:
    given = {field.name: field for field in manifest.fields}
    if not {"panoptic_map", "segment_ids", "segment_labels", "segment_boxes"} <= given.keys():
        raise PipelineError("this dataset has no panoptic maps", where=manifest.name)
    kept = (given[name] for name in KEPT if name in given)
    return (
        Field("image", "uint8", (SIDE, SIDE, 3)),
        Field("panoptic_map", "int32", (SIDE, SIDE)),
        *kept,
    )


def make(sample: Sample) -> Mapping[str, object]:
    values = sample.values
    if not values["panoptic_map"].size:
        raise DataError("no panoptic map of this picture", where=sample.key)
    old, new = codecs.size_of(values["image"]), (SIDE, SIDE)
    return {
        **values,
        "image": codecs.resized(values["image"], _size, PROFILE),
        "panoptic_map": geometry.masks.resized(values["panoptic_map"], new),
        "segment_boxes": geometry.boxes.resized(values["segment_boxes"], old, new),
    }


def environment() -> Mapping[str, str]:
    return codecs.environment(PROFILE)


def _size(width: int, height: int) -> codecs.Resize:
    return codecs.Resize(SIDE, SIDE, 0, 0, SIDE, SIDE)
