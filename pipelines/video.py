"""Video-level features as float16: ``mean_rgb`` (1024,), ``mean_audio`` (128,), and the labels.

Half the bytes of what is published, to a relative 2**-11. Frame-level features are dequantised and
averaged over the frames first, in float64, so that they give the same fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dsets.errors import DataError, PipelineError
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Batch, Sample
from dsets.transforms import dequantize

STATISTICS = None
VARYING_BYTES = 24  # three labels
_TOO_LARGE = 65520  # what rounds to 65,504, the largest of float16, is below
FRAMES = {"rgb": "mean_rgb", "audio": "mean_audio"}


def fields(manifest: Manifest) -> tuple[Field, ...]:
    made = []
    for field in manifest.fields:
        if field.name in FRAMES.values():
            made.append(Field(field.name, "float16", field.shape))
        elif field.name in FRAMES:
            made.append(Field(FRAMES[field.name], "float16", field.shape[1:]))
        elif field.name == "labels":
            made.append(field)
    if not any(field.dtype == "float16" for field in made):
        raise PipelineError("this dataset has no features of videos", where=manifest.name)
    return tuple(made)


def make(sample: Sample) -> Mapping[str, object]:
    made = dict(sample.values)
    for name, mean in FRAMES.items():
        if name in made:
            made[mean] = _mean(made[name], name)
        if mean in made:
            made[mean] = _half(made[mean], mean)
    return made


def make_batch(batch: Batch) -> Mapping[str, object] | None:
    made = dict(batch.values)
    for name, mean in FRAMES.items():
        if name in made:
            return None  # a mean of each video's own frames
        if mean in made:
            try:
                made[mean] = _half(made[mean], mean)
            except DataError:
                return None  # whose it is, make says
    return made


def _mean(frames: Any, name: str) -> Any:
    if not len(frames):
        raise DataError(f"no frames to average in {name}")
    mean = frames.mean(0, dtype=np.float64)
    return dequantize(mean) if frames.dtype == np.uint8 else mean


def _half(values: Any, name: str) -> Any:
    largest = np.abs(values).max(initial=0)  # NaN where one is
    if largest < _TOO_LARGE:
        return values.astype(np.float16)
    if np.isfinite(largest):
        raise DataError(f"{name} has values that float16 cannot hold")
    what = "are no numbers (NaN)" if np.isnan(largest) else "are infinite"
    raise DataError(f"{name} has values that {what}")
