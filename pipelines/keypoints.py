"""Keypoints: the whole picture at 384 x 384, uint8 RGB, and the people whose joints are marked.

``keypoints`` is float32 (n, 17, 3), x and y in pixels of the 384 x 384 and the visibility, 0
absent, 1 hidden, 2 visible; ``boxes`` float32 (n, 4) the boxes of the same people, none of others.
"""

from __future__ import annotations

from collections.abc import Mapping

from dsets import codecs, geometry
from dsets.errors import PipelineError
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = "image"
SIDE = 384
PROFILE = codecs.profile("fast")
KEPT = ("keypoints", "boxes", "size", "image_id")


def fields(manifest: Manifest) -> tuple[Field, ...]:
    given = {field.name: field for field in manifest.fields}
    if "keypoints" not in given or "boxes" not in given:
        raise PipelineError("this dataset has no keypoints", where=manifest.name)
    kept = (given[name] for name in KEPT if name in given)
    return (Field("image", "uint8", (SIDE, SIDE, 3)), *kept)


def make(sample: Sample) -> Mapping[str, object]:
    values = sample.values
    old, new = codecs.size_of(values["image"]), (SIDE, SIDE)
    marked = (values["keypoints"][..., 2] > 0).any(1)
    return {
        **values,
        "image": codecs.resized(values["image"], _size, PROFILE),
        "keypoints": geometry.keypoints.resized(values["keypoints"][marked], old, new),
        "boxes": geometry.boxes.resized(values["boxes"][marked], old, new),
    }


def environment() -> Mapping[str, str]:
    return codecs.environment(PROFILE)


def _size(width: int, height: int) -> codecs.Resize:
    return codecs.Resize(SIDE, SIDE, 0, 0, SIDE, SIDE)
