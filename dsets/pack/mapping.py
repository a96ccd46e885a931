"""A file of a pack as read-only memory, after making sure that it is the file the index means.

Python's own ``mmap`` keeps a file descriptor for every map (until 3.13), and a pack may have more
shards than a process may have open files; the system call itself needs the descriptor only once.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import stat
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dsets.errors import PackError
from dsets.pack.guard import guard

_FAILED = ctypes.c_void_p(-1).value


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading; following no link, and not waiting for anyone behind a pipe.

    Raises:
        PackError: it is not a plain file.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    file = os.fdopen(descriptor, "rb")
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        file.close()
        raise PackError("not a plain file", where=path, got=stat.filemode(mode))
    return file


def check_file(path: Path, size: int) -> None:
    """Refuse what isn't a plain file of exactly ``size`` bytes, without opening it.

    Raises:
        PackError: missing, a link, a folder or device, or of another size.
    """
    try:
        check_stat(os.lstat(path), path, size)
    except OSError as error:
        remedy = "a shard that is gone: see 'dsets repair'"
        raise PackError("cannot be read", where=path, got=error.strerror, remedy=remedy) from error


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which file was mapped: where it lay, of how many bytes, last changed when.

    With ``inode``, another file in its place is none of ours: as if this one had been deleted.
    """

    path: Path
    size: int
    changed_ns: int
    remedy: str = "open the pack again; if that fails, see 'dsets repair'"
    inode: int | None = None

    def check(self, failed: bool) -> None:
        """Make sure that nobody has cut the file short, written to it or put another in its place.

        One that was deleted, or moved with its folder, stays readable as long as it is mapped,
        unless its storage has ``failed``.

        Raises:
            PackError: somebody has.
        """
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            if not failed:
                return
            raise self._changed("nothing there") from None
        except OSError as error:
            raise self._changed(error.strerror) from error
        if self.inode not in (None, found.st_ino) and not failed:
            return
        if found.st_size != self.size or found.st_mtime_ns != self.changed_ns:
            raise self._changed(f"{found.st_size} bytes, changed at {found.st_mtime:.0f}")

    def _changed(self, got: object) -> PackError:
        return PackError(
            "the file was cut short, changed or replaced while it was read",
            where=self.path,
            expected=f"{self.size} bytes, last changed at {self.changed_ns / 1e9:.0f}",
            got=got,
            remedy=self.remedy,
        )


class Mapped:
    """A file in memory, read-only; unmapped when nothing refers to ``memory`` or its slices.

    Should the file shrink or its storage fail, what was read is zeros: ``check`` tells, afterwards.
    """

    __slots__ = ("_range", "_stamp", "memory")

    def __init__(self, path: Path, size: int) -> None:
        """Raises:
        PackError: as ``check_file``, or the system refuses to map it.
        """
        try:
            with open_plain(path) as file:
                found = os.fstat(file.fileno())
                check_stat(found, path, size)
                address = _map(file.fileno(), size)
        except OSError as error:
            raise PackError("cannot be mapped", where=path, got=error.strerror) from error
        self._stamp = Stamp(path, size, found.st_mtime_ns)
        self._range = guard().add(address, size)
        buffer = (ctypes.c_ubyte * size).from_address(address)
        end = weakref.finalize(buffer, unmap, self._range, address, size)
        end.atexit = False  # threads may still read while the interpreter goes down
        self.memory = memoryview(buffer).cast("B").toreadonly()

    @property
    def path(self) -> Path:
        return self._stamp.path

    @property
    def faults(self) -> int:
        """Reads that the storage did not answer."""
        return guard().faults(self._range)

    def check(self) -> None:
        """Make sure that the file is still the one that was mapped.

        Raises:
            PackError: as ``Stamp.check``.
        """
        self._stamp.check(self.faults > 0)


def unmap(number: int, address: int, size: int) -> None:
    """End a guarded map."""
    guard().end(number)
    libc().munmap(address, size)


def check_stat(found: os.stat_result, path: Path, size: int) -> None:
    """Refuse what isn't a plain file of exactly ``size`` bytes, as a PackError."""
    if not stat.S_ISREG(found.st_mode):
        raise PackError("not a plain file", where=path, got=stat.filemode(found.st_mode))
    if found.st_size != size:
        raise PackError(
            "file of another size than the index says",
            where=path,
            expected=f"{size} bytes",
            got=found.st_size,
            remedy="it was cut short or changed: see 'dsets repair'",
        )


def _map(descriptor: int, size: int) -> int:
    address: int | None = libc().mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address is None or address == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return address


def libc() -> ctypes.CDLL:
    """The C library, with the types of ``mmap`` and ``munmap`` told."""
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    )
    library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return library
