"""Captions: the central 256 x 256 of the picture, uint8 RGB, and every caption of it.

``caption`` is uint8 (bytes,), the captions in UTF-8 one after the other; ``caption_ends`` int64
(n,) says where each one ends, and `dsets.codecs.rle.split` takes them apart. A picture without any
caption is quarantined.
"""

from __future__ import annotations

from collections.abc import Mapping

from dsets import codecs
from dsets.errors import DataError, PipelineError
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = "image"
SIDE = 256
PROFILE = codecs.profile("fast")
KEPT = ("caption", "caption_ends", "image_id")


def fields(manifest: Manifest) -> tuple[Field, ...]:
    given = {field.name: field for field in manifest.fields}
    if "caption" not in given:
        raise PipelineError("this dataset has no captions", where=manifest.name)
    kept = (given[name] for name in KEPT if name in given)
    return (Field("image", "uint8", (SIDE, SIDE, 3)), *kept)


def make(sample: Sample) -> Mapping[str, object]:
    if not len(sample.values["caption_ends"]):
        raise DataError("no caption of this picture", where=sample.key)
    return {**sample.values, "image": codecs.resized(sample.values["image"], _size, PROFILE)}


def environment() -> Mapping[str, str]:
    return codecs.environment(PROFILE)


def _size(width: int, height: int) -> codecs.Resize:
    return codecs.centre_crop(width, height, SIDE)
