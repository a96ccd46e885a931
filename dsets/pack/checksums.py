"""CRC-32C of every sample, so that damage is located to a sample.

By the extension where it and the processor have the instruction, else by google-crc32c.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import google_crc32c
import numpy as np
import numpy.typing as npt

from dsets import extension


def of_rows(rows: np.ndarray) -> npt.NDArray[np.uint32]:
    """uint32 (n,): the CRC-32C of each row's bytes; ``rows`` is contiguous, of shape (n, …)."""
    width = rows.nbytes // len(rows)
    return of_ranges(rows.reshape(-1).view(np.uint8), [width * row for row in range(len(rows) + 1)])


def of_ranges(
    data: npt.NDArray[np.uint8], bounds: Sequence[int] | npt.NDArray[np.int64]
) -> npt.NDArray[np.uint32]:
    """uint32 (n,): the CRC-32C of ``data[bounds[i]:bounds[i + 1]]``; ``bounds``: (n + 1,)."""
    if extension.native is not None and extension.checksum:
        sums = np.empty(len(bounds) - 1, np.uint32)
        try:
            extension.native.checksums(data, np.array(bounds, np.int64), sums)
            return sums
        except (ValueError, OverflowError):
            pass  # bounds that only a damaged file has: what lies within them counts
    checksum = google_crc32c.value
    return np.array([checksum(data[a:b]) for a, b in pairwise(bounds)], np.uint32)
