"""The pictures as they were published, byte for byte.

`pack[i]["image"]` is the encoded file, uint8 (n,), in whatever format it came, and
`dsets.codecs.decode` makes RGB pixels of it. Since STATISTICS names it, each one is decoded once on
the way in: what is no readable image is quarantined, and the statistics are of the pixels at their
own sizes. With STATISTICS = None this is a mere copy, many times as fast.
"""

from __future__ import annotations

from collections.abc import Mapping

from dsets import codecs
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = "image"


def fields(manifest: Manifest) -> tuple[Field, ...]:
    image = Field("image", "uint8", (None,))
    return (image, *(field for field in manifest.fields if field.name == "label"))


def make(sample: Sample) -> Mapping[str, object]:
    return sample.values


def environment() -> Mapping[str, str]:
    return codecs.environment(None)
