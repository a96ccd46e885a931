"""Long runs of bytes written to the disk past the page cache.

A job that makes packs larger than memory would push everybody's files out of the page cache, and
copying into fresh pages of it takes a tenth of the time of preparing photographs.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

#: Shorter runs stay in the page cache, where whoever reads a small pack next will find them.
WORTH = 1 << 24
_ALIGNMENT = 4096  # what any disk and file system wants of places, lengths and memory
_BLOCK = 1 << 22


@contextmanager
def writing(file: IO[bytes], start: int, length: int) -> Iterator[Callable[[memoryview], object]]:
    """A function that writes the next bytes of the run of ``length`` that begins at ``start``.

    ``file`` is open for reading and writing, stands at ``start``, and after the block behind what
    was written. Where the system or the file system knows no direct writes, or the run is short,
    the function is the file's own.
    """
    descriptor = _opened(file) if length >= WORTH and start % _ALIGNMENT == 0 else None
    if descriptor is None:
        yield file.write
        return
    try:
        file.flush()
        with mmap.mmap(-1, _BLOCK) as memory, memoryview(memory) as block:
            run = _Run(file, descriptor, block, start)
            yield run.write
            run.end()
    finally:
        os.close(descriptor)


def _opened(file: IO[bytes]) -> int | None:
    with suppress(OSError, AttributeError):  # not everywhere is there such a flag
        return os.open(file.name, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    return None


class _Run:
    """Bytes on their way through one aligned block of memory."""

    def __init__(self, file: IO[bytes], descriptor: int, block: memoryview, place: int) -> None:
        self._file, self._descriptor, self._block = file, descriptor, block
        self._place, self._filled = place, 0

    def write(self, data: memoryview) -> None:
        at = 0
        while at < len(data):
            count = min(len(data) - at, len(self._block) - self._filled)
            self._block[self._filled : self._filled + count] = data[at : at + count]
            self._filled += count
            at += count
            if self._filled == len(self._block):
                self._drain()

    def end(self) -> None:
        """The rest, which may be no whole number of the disk's blocks, goes the usual way."""
        self._drain()

    def _drain(self) -> None:
        written, whole = 0, self._filled - self._filled % _ALIGNMENT
        with suppress(OSError):  # a file system may refuse only now; what is wrong the file tells
            while written < whole and written % _ALIGNMENT == 0:
                here = self._block[written:whole]
                written += os.pwrite(self._descriptor, here, self._place + written)
        self._file.seek(self._place + written)
        self._file.write(self._block[written : self._filled])
        self._place += self._filled
        self._filled = 0
