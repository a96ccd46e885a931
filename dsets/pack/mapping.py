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
from pathlib import Path
from typing import BinaryIO

from dsets.errors import PackError

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
        raise PackError("cannot be read", where=path, got=error.strerror) from error


def map_file(path: Path, size: int) -> memoryview:
    """The bytes of a file, read-only; unmapped when nothing refers to the view or its slices.

    Raises:
        PackError: as ``check_file``, or the system refuses to map it.
    """
    try:
        with open_plain(path) as file:
            check_stat(os.fstat(file.fileno()), path, size)
            address = _map(file.fileno(), size)
    except OSError as error:
        raise PackError("cannot be mapped", where=path, got=error.strerror) from error
    buffer = (ctypes.c_ubyte * size).from_address(address)
    end = weakref.finalize(buffer, libc().munmap, address, size)
    end.atexit = False  # threads may still read while the interpreter goes down
    return memoryview(buffer).cast("B").toreadonly()


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
