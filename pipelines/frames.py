"""Frame-level features as they were published: quantised uint8, a row a second, ragged.

``rgb`` is uint8 (frames, 1024), ``audio`` uint8 (frames, 128); `dsets.transforms.dequantize` gives
the numbers they stand for, of a batch at a time. Labels and segments come along.
"""

from __future__ import annotations

from collections.abc import Mapping

from dsets.errors import PipelineError
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = None
VARYING_BYTES = 265_000  # 230 frames of 1,152 bytes, and the labels


def fields(manifest: Manifest) -> tuple[Field, ...]:
    if not any(len(field.shape) == 2 and field.dtype == "uint8" for field in manifest.fields):
        raise PipelineError("this dataset has no quantised frames", where=manifest.name)
    return manifest.fields


def make(sample: Sample) -> Mapping[str, object]:
    return sample.values
