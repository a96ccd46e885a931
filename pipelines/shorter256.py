"""The whole picture at a training size: shorter side to 256, no crop, uint8 RGB.

The sizes vary, so the statistics have no mean image.
"""

from __future__ import annotations

from collections.abc import Mapping

from dsets import codecs
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = "image"
SIDE = 256
VARYING_BYTES = 270_000  # the mean of 250 photographs of ImageNet
PROFILE = codecs.profile("fast")


def fields(manifest: Manifest) -> tuple[Field, ...]:
    image = Field("image", "uint8", (None, None, 3))
    return (image, *(field for field in manifest.fields if field.name == "label"))


def make(sample: Sample) -> Mapping[str, object]:
    pixels = codecs.resized(sample.values["image"], _size, PROFILE)
    return {**sample.values, "image": pixels}


def environment() -> Mapping[str, str]:
    return codecs.environment(PROFILE)


def _size(width: int, height: int) -> codecs.Resize:
    return codecs.shorter_side(width, height, SIDE)
