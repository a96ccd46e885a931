"""Nothing appears under its final name until it is right: write beside, flush, rename."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A ``*.part`` path beside ``path`` to write to; renamed over ``path`` when the block succeeds.

    The file is flushed to disk before the rename and the folder after it. When the block fails the
    part is removed; a killed process leaves it under its ``.part`` name, never the final one. The
    name carries the process and the thread, so two writers never share a part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.part")
    try:
        yield part
        flush(part)
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise
    flush(path.parent)


def flush(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
