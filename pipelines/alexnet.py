"""AlexNet's preprocessing: shorter side to 256, the central 256 x 256, uint8 RGB, nothing else.

Krizhevsky et al. 2012, section 2. The mean image of the training split, which the paper subtracts,
and the colours' principal components (section 4.1) are the training pack's statistics.
"""

from __future__ import annotations

from collections.abc import Mapping

from dsets import codecs
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = "image"
SIDE = 256
PROFILE = codecs.profile("fast")


def fields(manifest: Manifest) -> tuple[Field, ...]:
    image = Field("image", "uint8", (SIDE, SIDE, 3))
    return (image, *(field for field in manifest.fields if field.name == "label"))


def make(sample: Sample) -> Mapping[str, object]:
    pixels = codecs.resized(sample.values["image"], _size, PROFILE)
    return {**sample.values, "image": pixels}


def environment() -> Mapping[str, str]:
    return codecs.environment(PROFILE)


def _size(width: int, height: int) -> codecs.Resize:
    return codecs.centre_crop(width, height, SIDE)
