"""Long runs of bytes written to the disk past the page cache.

A job that writes more than memory holds would push everybody's files out of the page cache, and
copying into fresh pages of it takes longer than receiving or hashing the same bytes.
"""

from __future__ import annotations

import mmap
import os
import time
from contextlib import suppress

from dsets.closing import Closing

#: Bytes from which on a file is worth it; shorter ones stay where their next reader finds them.
WORTH = 1 << 24
_ALIGNMENT = 4096  # what any disk and file system wants of places, lengths and memory
_BLOCK = 1 << 22
_LATEST_S = 2.0  # bytes that came slowly do not wait longer than that for the rest of a block


class Run(Closing):
    """Bytes that go into an open file one behind the other, from ``place`` on.

    They gather in an aligned block of memory; a file system that knows no direct writes gets them
    by ordinary ones. ``flush`` before anybody else reads the file. A context manager; what was not
    flushed when the block ends is lost.

    The descriptor must be readable where ``place`` lies within a page of the file: a direct write
    is of whole pages, so what is there of that one is written again.
    """

    def __init__(self, descriptor: int, place: int) -> None:
        self._descriptor = descriptor
        # Private, for a forked child must not write into its parent's.
        self._memory = mmap.mmap(-1, _BLOCK, flags=mmap.MAP_PRIVATE)
        self._block = memoryview(self._memory)
        self._begun = self._filled = place % _ALIGNMENT
        self._base = place - self._filled
        if self._filled:
            there = os.pread(descriptor, self._filled, self._base)
            self._block[: len(there)] = there
        self._since = time.monotonic()
        self._direct = _again(descriptor)

    def write(self, data: memoryview) -> None:
        """Raises OSError where earlier bytes could not be written: a full disk, say."""
        at = 0
        while at < len(data):
            count = min(len(data) - at, _BLOCK - self._filled)
            self._block[self._filled : self._filled + count] = data[at : at + count]
            self._filled += count
            at += count
            if self._filled == _BLOCK:
                self.flush()
        if time.monotonic() - self._since > _LATEST_S:
            self.flush()

    def flush(self) -> None:
        """Have the system write what it was given; it is not on the disk before an ``fsync``."""
        whole = self._filled - self._filled % _ALIGNMENT
        while self._direct is not None and self._begun < whole:
            self._write_directly(self._direct, whole)
        while self._begun < self._filled:
            rest = self._block[self._begun : self._filled]
            self._begun += os.pwrite(self._descriptor, rest, self._base + self._begun)
        # The last page, begun in the page cache, stays in memory to be written whole. Were only
        # its rest to follow, it would wait in the page cache while later pages are on the disk, and
        # be a hole in the file after a power cut.
        self._begun = self._filled - whole
        self._block[: self._begun] = self._block[whole : self._filled]
        self._filled = self._begun
        self._base += whole
        self._since = time.monotonic()

    def _write_directly(self, descriptor: int, whole: int) -> None:
        """Write once from the page of ``_begun`` on, up to ``whole``."""
        at = self._begun - self._begun % _ALIGNMENT
        try:
            end = at + os.pwrite(descriptor, self._block[at:whole], self._base + at)
        except OSError:  # not on this file system; what else is wrong the other way tells
            end = at
        if end <= self._begun:
            self._forsake()
        else:
            self._begun = end

    def _forsake(self) -> None:
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def close(self) -> None:
        self._forsake()
        self._block.release()
        with suppress(BufferError):  # an error's traceback may hold a piece of it, and lets it go
            self._memory.close()


def _again(descriptor: int) -> int | None:
    """The file of a descriptor opened for direct writes; None where the system has none."""
    with suppress(OSError, AttributeError):
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    return None
