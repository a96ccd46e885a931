"""Address space for a file that comes and goes: arrays over it stay valid, and their place too.

A remote pack may be larger than the cache, yet kernels want the address of every shard once. So
each shard has its range of addresses from the beginning, without memory behind it; the file is
mapped into it while it is held. Whoever reads a range that is not held is killed by the system, so
only ``dsets.remote.pack`` does this, which holds what is read. What is held is guarded as any other
file of a pack is.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from pathlib import Path

from dsets.errors import PackError
from dsets.pack.guard import guard
from dsets.pack.mapping import Stamp, check_stat, libc, open_plain, unmap

_FIXED = 0x10
_NOTHING = 0  # PROT_NONE
_REMEDY = "open the pack again: what is damaged in the cache is fetched anew"
_LAZY = getattr(mmap, "MAP_NORESERVE", 0)


class Reserved:
    """``size`` bytes of addresses; ``memory`` is a read-only view of them."""

    __slots__ = ("__weakref__", "_address", "_range", "_size", "_stamp", "memory")

    def __init__(self, size: int) -> None:
        self._size = size
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _LAZY
        self._address = _mmap(None, size, _NOTHING, flags, -1)
        self._stamp: Stamp | None = None
        self._range = guard().add(self._address, size)
        buffer = (ctypes.c_ubyte * size).from_address(self._address)
        end = weakref.finalize(buffer, unmap, self._range, self._address, size)
        end.atexit = False
        self.memory = memoryview(buffer).cast("B").toreadonly()

    def fill(self, path: Path) -> None:
        """Map the file into the range.

        Raises:
            PackError: it is no plain file of this size, or the system refuses.
        """
        try:
            with open_plain(path) as file:
                found = os.fstat(file.fileno())
                check_stat(found, path, self._size)
                flags = mmap.MAP_SHARED | _FIXED
                _mmap(self._address, self._size, mmap.PROT_READ, flags, file.fileno())
        except OSError as error:
            raise PackError("cannot be mapped", where=path, got=error.strerror) from error
        # Another process may fetch it anew, and give that file its name: this one stays ours.
        self._stamp = Stamp(path, self._size, found.st_mtime_ns, _REMEDY, found.st_ino)

    @property
    def path(self) -> Path | None:
        """Of the file that is mapped, if there is one."""
        return self._stamp.path if self._stamp else None

    @property
    def faults(self) -> int:
        """Reads of these addresses that storage did not answer."""
        return guard().faults(self._range)

    def check(self) -> None:
        """Make sure that a file that is mapped is still the one that was.

        Raises:
            PackError: as ``Stamp.check``.
        """
        stamp = self._stamp
        if stamp is None:
            return
        try:
            stamp.check(self.faults > 0)
        except PackError:
            if stamp is self._stamp:  # else the cache let go of it meanwhile, and it may be gone
                raise

    def keep(self, other: object) -> None:
        """Keep ``other`` as long as an array over the memory is kept."""
        weakref.finalize(self.memory.obj, _nothing, other).atexit = False

    def empty(self) -> None:
        """Let go of the file; the addresses stay ours."""
        self._stamp = None
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _LAZY | _FIXED
        _mmap(self._address, self._size, _NOTHING, flags, -1)


def _nothing(_: object) -> None:
    """The end of what kept the argument."""


def _mmap(address: int | None, size: int, access: int, flags: int, descriptor: int) -> int:
    found: int | None = libc().mmap(address, size, access, flags, descriptor, 0)
    if found is None or found == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found
