"""Locks that a killed process cannot leave behind.

The kernel's ``flock`` is taken on the very ``*.part`` file or folder that is being written, so
there is no lock file to go stale, and it ends with the process that held it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dsets.errors import BusyError


@contextmanager
def holding(path: Path, *, folder: bool = False, wait: bool = True) -> Iterator[int]:
    """Hold the exclusive lock of a file or of a folder, which is made if absent.

    Yields the open descriptor. Another process may have renamed the file to its final name while we
    waited; then the lock is on something that is no longer ``path``, and we start over.

    Raises:
        BusyError: ``wait`` is false and another process holds the lock.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY if folder else os.O_RDWR | os.O_CREAT
    while True:
        if folder:
            with suppress(FileExistsError):  # pathlib's exist_ok looks again, and it may be gone
                os.mkdir(path)
        try:
            descriptor = os.open(path, flags, 0o666)
        except FileNotFoundError:
            if not folder:
                raise
            continue  # its holder renamed or removed it since our mkdir
        process = os.getpid()
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise BusyError(
                    "another process is working on this",
                    where=path,
                    remedy="wait for it to finish, or stop it",
                ) from error
            if _same(descriptor, path):
                try:
                    yield descriptor
                finally:
                    if os.getpid() == process:  # a child forked meanwhile has a copy, which closing
                        fcntl.flock(descriptor, fcntl.LOCK_UN)  # would leave locked
                return
        finally:
            os.close(descriptor)


def _same(descriptor: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
