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
    """

    def __init__(self, descriptor: int, place: int) -> None:
        self._descriptor = descriptor
        self._direct = _again(descriptor)
        self._memory = mmap.mmap(-1, _BLOCK)
        self._block = memoryview(self._memory)
        self._seek(place)

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
        while self._begun < self._filled:
            self._begun += self._write_some(whole)
        self._seek(self._base + self._filled)

    def _write_some(self, whole: int) -> int:
        """Write from ``_begun`` on, up to ``whole`` directly; how many bytes."""
        at, place = self._begun, self._base + self._begun
        if self._direct is not None and at < whole and at % _ALIGNMENT == 0:
            try:
                return os.pwrite(self._direct, self._block[at:whole], place)
            except OSError:  # not on this file system; what else is wrong the other way tells
                self._forsake()
        odd = at % _ALIGNMENT and self._direct is not None
        end = min(at - at % _ALIGNMENT + _ALIGNMENT, self._filled) if odd else self._filled
        return os.pwrite(self._descriptor, self._block[at:end], place)

    def _forsake(self) -> None:
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def close(self) -> None:
        self._forsake()
        self._block.release()
        self._memory.close()

    def _seek(self, place: int) -> None:
        """What comes next goes to ``place``: as far from a boundary in memory as in the file."""
        self._begun = self._filled = place % _ALIGNMENT
        self._base = place - self._begun
        self._since = time.monotonic()


def _again(descriptor: int) -> int | None:
    """The file of a descriptor opened for direct writes; None where the system has none."""
    with suppress(OSError, AttributeError):
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    return None
