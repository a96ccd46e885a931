"""Writing a run's files, and the error of one that cannot be written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsets import atomic
from dsets.errors import TrainError


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
    try:
        room = f"{shutil.disk_usage(path.parent).free:,} bytes free"
    except OSError:
        room = "no answer about its free space"
    return TrainError(
        f"cannot write {what}" + (f": {why}" if why else ""),
        where=path,
        got=room,
        remedy="make room, and give the same command again: it goes on from the last checkpoint",
    )
