"""As is: every declared field goes into the pack unchanged. For small images.

Images are stored planar (CHW): batches of small images become normalised NCHW arrays fastest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dsets.field import Field
from dsets.manifest import Manifest
from dsets.readers import Sample

STATISTICS = "image"


def fields(manifest: Manifest) -> tuple[Field, ...]:
    return tuple(
        replace(field, layout="CHW") if len(field.shape) == 3 else field
        for field in manifest.fields
    )


def make(sample: Sample) -> Mapping[str, object]:
    return sample.values
