"""AlexNet's 256 x 256 as JPEG, quality 90: a fraction of the raw size, for slow storage.

`pack[i]["image"]` is the JPEG's bytes, uint8 (n,); `dsets.codecs.decode` makes pixels of them. The
statistics are of those decoded pixels, not of the ones before the encoder.
"""

from __future__ import annotations

from collections.abc import Mapping

from dsets import codecs
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = "image"
SIDE = 256
QUALITY = 90
VARYING_BYTES = 21_000  # the mean of 250 photographs of ImageNet
DECODED_SHAPE = (SIDE, SIDE, 3)
PROFILE = codecs.profile("fast")


def fields(manifest: Manifest) -> tuple[Field, ...]:
    image = Field("image", "uint8", (None,))
    return (image, *(field for field in manifest.fields if field.name == "label"))


def make(sample: Sample) -> Mapping[str, object]:
    pixels = codecs.resized(sample.values["image"], _size, PROFILE)
    return {**sample.values, "image": codecs.encode_jpeg(pixels, QUALITY)}


def environment() -> Mapping[str, str]:
    return codecs.environment(PROFILE, encoder=True)


def _size(width: int, height: int) -> codecs.Resize:
    return codecs.centre_crop(width, height, SIDE)
