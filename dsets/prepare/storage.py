"""How fast a disk gives back what is not in memory: measured with a file that goes away again."""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 8 << 20
_SIZE = 256 << 20
#: Of the free space, at most a twentieth is written to; writing and reading each end after 3 s.
_SHARE = 20
_SECONDS = 3.0
#: Reads in flight: what one stream of batches asks for; fewer leave a fast disk idle.
_READERS = 4


@dataclass(frozen=True, slots=True)
class Storage:
    """``bytes_per_s`` of large reads, past the page cache if ``direct``; of ``bytes`` read."""

    bytes_per_s: float
    bytes: int
    direct: bool


def measure(folder: Path, size: int = _SIZE) -> Storage | None:
    """The read rate of the disk below ``folder``, or None where nothing can be written.

    Takes some seconds and ``size`` bytes, less where space or the disk's speed is short.
    """
    place = next(path for path in (folder, *folder.parents) if path.is_dir())
    try:
        descriptor, name = tempfile.mkstemp(prefix=".dsets-", suffix=".part", dir=place)
    except OSError:
        return None
    try:
        free = os.fstatvfs(descriptor)
        blocks = _write(descriptor, min(size, free.f_bavail * free.f_frsize // _SHARE) // _BLOCK)
        os.close(descriptor)
        return _read(name, blocks) if blocks else None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _write(descriptor: int, blocks: int) -> int:
    """Fill the file and wait for the disk; returns how many blocks it has."""
    block = os.urandom(_BLOCK)  # no file system makes less of it
    end = time.monotonic() + _SECONDS
    for number in range(blocks):
        try:
            whole = os.write(descriptor, block) == _BLOCK
        except OSError:  # a quota
            whole = False
        if not whole or time.monotonic() > end:
            blocks = number
            break
    os.fsync(descriptor)
    return blocks


def _read(name: str, blocks: int) -> Storage:
    descriptor, direct = _open(name)
    end = time.monotonic() + _SECONDS

    def read(first: int) -> int:
        total = 0
        with mmap.mmap(-1, _BLOCK) as buffer:  # aligned, as O_DIRECT wants it
            for number in range(first, blocks, _READERS):
                if time.monotonic() > end:
                    break
                total += os.preadv(descriptor, [buffer], number * _BLOCK)
        return total

    try:
        begun = time.perf_counter()
        with ThreadPoolExecutor(_READERS, thread_name_prefix="dsets-read") as pool:
            total = sum(pool.map(read, range(_READERS)))
        return Storage(total / (time.perf_counter() - begun), total, direct)
    finally:
        os.close(descriptor)


def _open(name: str) -> tuple[int, bool]:
    """The file, past the page cache where the system can: directly, or forgotten before."""
    if hasattr(os, "O_DIRECT"):
        with suppress(OSError):  # tmpfs, some network file systems
            return os.open(name, os.O_RDONLY | os.O_DIRECT), True
    descriptor = os.open(name, os.O_RDONLY)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return descriptor, False
