"""Writing a run's files, and the error of one that cannot be written."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsets import atomic
from dsets.errors import TrainError

#: Of a folder or a file system that is not to be written to; room is not what it lacks.
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def writing(what: str, path: Path) -> Iterator[Path]:
    """``atomic.replacing``, which tells what file could not be written, and why.

    Raises:
        TrainError: as where the disk is full. The room it tells is what was left beside the part,
            which is removed; the file before is still there.
    """
    told = None
    try:
        with atomic.replacing(path) as part:
            try:
                part.touch()  # so that the system says why, which torch's writer doesn't
                yield part
                atomic.flush(part)
            # A RuntimeError is all that torch's writer in C++ says of a full disk.
            except (RuntimeError, OSError) as error:
                told = unwritten(what, path, error)
                raise
    except (RuntimeError, OSError) as error:
        raise told or unwritten(what, path, error) from error


def unwritten(what: str, path: Path, error: Exception) -> TrainError:
    """The error of a file that could not be written: why, what room there is, what to do."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else ""
    if isinstance(error, OSError) and error.errno in _CLOSED:
        return TrainError(
            f"cannot write {what}: {why}",
            where=path,
            remedy="make the folder and what is in it writable, and give the same command again; "
            "or copy the run to where it is, and give that --out",
        )
    try:
        room = f"{shutil.disk_usage(path.parent).free:,} bytes free"
    except OSError:
        room = "no answer about its free space"
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    limited = "" if full else ", or lift a quota or the limit of file sizes (ulimit -f)"
    return TrainError(
        f"cannot write {what}" + (f": {why}" if why else ""),
        where=path,
        got=room,
        remedy=f"make room{limited}, and give the same command again: it goes on from the last "
        "checkpoint",
    )
