"""Which rows of a shard are damaged, by the CRC-32C that was stored with each."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from dsets.field import Field
from dsets.pack import checksums


def rows(arrays: Mapping[str, np.ndarray], field: Field) -> list[int]:
    """The rows of a shard whose bytes, bounds or shape of this field have changed."""
    data = arrays[field.name]
    if field.fixed:
        found = checksums.of_rows(data)
        return np.flatnonzero(found != arrays[f"checksum/{field.name}"]).tolist()
    size = data.dtype.itemsize
    bounds = [bound * size for bound in arrays[f"offsets/{field.name}"].tolist()]
    found = checksums.of_ranges(data.view(np.uint8), bounds)
    wrong = found != arrays[f"checksum/{field.name}"]
    for row, (begin, end) in enumerate(pairwise(bounds)):
        wrong[row] |= not begin <= end <= data.nbytes
    if f"shape/{field.name}" in arrays:
        shapes = arrays[f"shape/{field.name}"].tolist()
        for row, shape in enumerate(shapes):
            count = int(np.prod(shape, dtype=object)) * size
            known = zip(field.stored_shape, shape, strict=True)
            wrong[row] |= count != bounds[row + 1] - bounds[row]
            wrong[row] |= any(want not in (None, got) for want, got in known)
    return np.flatnonzero(wrong).tolist()


def key(arrays: Mapping[str, np.ndarray], row: int) -> str | None:
    """The key of a row, or None where it isn't text."""
    begin, end = arrays["offsets/key"][row : row + 2].tolist()
    try:
        return arrays["key"][begin:end].tobytes().decode()
    except UnicodeDecodeError:
        return None
