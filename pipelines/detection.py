"""Detection: the whole picture at 300 x 300, uint8 RGB, and the boxes with it.

The shape of a picture is not kept, so that every picture fills its pixels (Liu et al. 2016, SSD,
section 3). Boxes are float32 (n, 4), xmin, ymin, xmax, ymax in pixels of the 300 x 300; labels and
flags stand in the same order; masks, where the dataset has them, are resized to the nearest pixel.
"""

from __future__ import annotations

from collections.abc import Mapping

from dsets import codecs, geometry
from dsets.errors import PipelineError
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = "image"
SIDE = 300
PROFILE = codecs.profile("fast")
KEPT = (
    *("boxes", "labels", "difficult", "truncated", "occluded", "crowd", "areas"),
    *("confidences", "group_of", "depiction", "inside"),
)


def fields(manifest: Manifest) -> tuple[Field, ...]:
    given = {field.name: field for field in manifest.fields}
    if "boxes" not in given or "labels" not in given:
        raise PipelineError("this dataset has no boxes", where=manifest.name)
    kept = (given[name] for name in (*KEPT, "mask", "mask_ends", "size") if name in given)
    return (Field("image", "uint8", (SIDE, SIDE, 3)), *kept)


def make(sample: Sample) -> Mapping[str, object]:
    data = sample.values["image"]
    old, new = codecs.size_of(data), (SIDE, SIDE)
    made = {
        **sample.values,
        "image": codecs.resized(data, _size, PROFILE),
        "boxes": geometry.boxes.resized(sample.values["boxes"], old, new),
    }
    if "mask" in made:
        from dsets.codecs import rle

        masks = rle.masks(made["mask"], made["mask_ends"], old)
        made["mask"], made["mask_ends"] = rle.encode(
            [geometry.masks.resized(mask, new) for mask in masks]
        )
    return made


def environment() -> Mapping[str, str]:
    return codecs.environment(PROFILE)


def _size(width: int, height: int) -> codecs.Resize:
    return codecs.Resize(SIDE, SIDE, 0, 0, SIDE, SIDE)
