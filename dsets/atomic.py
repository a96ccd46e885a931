"""Nothing appears under its final name until it is right: write beside, flush, rename."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from dsets.locks import holding


@contextmanager
def replacing(path: Path, *, locked: bool = False, lasting: bool = True) -> Iterator[Path]:
    """A ``*.part`` path beside ``path`` to write to; renamed over ``path`` when the block succeeds.

    The file is flushed to disk before the rename and the folder after it. When the block fails the
    part is removed; a killed process leaves it under its ``.part`` name, never the final one. The
    name carries the process and the thread, so two writers never share a part.

    ``locked``: others ``sweep`` here, so the part is locked until it has its final name.
    ``lasting``: false for what may be lost, or empty, after a power cut; then nothing is flushed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.part")
    with holding(part) if locked else nullcontext():
        try:
            yield part
            if lasting:
                flush(part)
            os.replace(part, path)
        except BaseException:
            with suppress(FileNotFoundError):
                part.unlink()
            raise
    if lasting:
        flush(path.parent)


@contextmanager
def sweeping(path: Path) -> Iterator[Path]:
    """``replacing``, for what is large or lies where nobody else sweeps: ``sweep`` comes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)
    with replacing(path, locked=True) as part:
        yield part


def sweep(path: Path) -> None:
    """Remove the parts of ``path`` that nobody locks: killed processes left them."""
    ours = re.compile(re.escape(f".{path.name}.") + r"\d+-\d+\.part")
    with os.scandir(path.parent) as entries:
        parts = [Path(entry) for entry in entries if ours.fullmatch(entry.name)]
    drop(parts)


def drop(parts: Iterable[Path]) -> None:
    """Remove those of the parts that nobody locks."""
    for part in parts:
        with suppress(OSError), holding(part, wait=False):
            part.unlink()


def flush(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
