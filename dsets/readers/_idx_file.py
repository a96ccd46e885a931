"""One IDX file: MNIST's format for an array, plain or in gzip.

Two zero bytes, a type byte, the number of sizes, the sizes as big-endian 32-bit integers, then the
values, big-endian, the last size fastest (described with MNIST by LeCun, Cortes and Burges).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.archive.stream import Stream, guess

DTYPES = {
    0x08: ">u1",
    0x09: ">i1",
    0x0B: ">i2",
    0x0C: ">i4",
    0x0D: ">f4",
    0x0E: ">f8",
}
HEADER_BYTES = 4 + 4 * 255  # of the highest rank that the format can say


@dataclass(frozen=True, slots=True)
class Header:
    """``dtype`` is as stored: big-endian."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def header(stream: Stream) -> Header:
    """Read the header at the beginning of ``stream``.

    Raises:
        DataError: this is no IDX file, or it ends in the header.
    """
    magic = stream.peek(16)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not magic[3]:
        raise stream.error(
            "not an IDX file",
            expected="a magic number such as 00 00 08 03",
            got=magic[:4].hex(" ") + guess(magic),
        )
    code, rank = stream.exactly(4, "the IDX header")[2:]
    sizes = stream.exactly(4 * rank, "the IDX header")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">i4"))
    if min(shape) < 0:
        raise stream.error("negative size in the IDX header", got=shape)
    return Header(np.dtype(DTYPES[code]), shape)


def values(stream: Stream, head: Header) -> npt.NDArray[Any]:
    """The values after the header, to the end of the file: head.shape, little-endian, read-only.

    NumPy arrays have at most 64 sizes (32 before NumPy 2); a higher rank is refused.

    Raises:
        DataError: there are fewer or more values than the header says, or the gzip is damaged.
    """
    data = stream.exactly(head.bytes, f"the {math.prod(head.shape):,} values")
    stream.finish()
    try:
        array = np.frombuffer(data, head.dtype).reshape(head.shape)
    except ValueError as error:
        raise stream.error(
            "NumPy cannot hold such an array", got=f"rank {len(head.shape)}"
        ) from error
    array = array.astype(head.dtype.newbyteorder("<"), copy=False)
    array.flags.writeable = False
    return array
