"""Sizes and digests of many files, in threads, a batch of files a task."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dsets.errors import AdoptError
from dsets.fetch.hashing import CHUNK
from dsets.progress import Event, Progress
from dsets.readers._listing import Entry

BATCH = 256  # files: enough work for a thread, soon enough for Ctrl-C


def entries(
    task: str, folder: Path, listed: Sequence[str], jobs: int, tell: Progress
) -> Iterator[Entry]:
    """An entry for each of the files ``listed`` below ``folder``, in that order.

    Raises:
        AdoptError: a file cannot be read any more.
    """
    stop = threading.Event()
    below = os.fspath(folder)
    total = sum(_size(os.path.join(below, path)) for path in listed)
    done = 0
    tell(Event(task, 0, total))
    batches = [listed[start : start + BATCH] for start in range(0, len(listed), BATCH)]
    with ThreadPoolExecutor(max(jobs, 1), "dsets-adopt") as pool:
        try:
            for found in pool.map(lambda batch: _batch(below, batch, stop), batches):
                yield from found
                done += sum(entry.bytes for entry in found)
                tell(Event(task, done, total))
        finally:
            stop.set()  # for those not begun, where this ends early
            pool.shutdown(cancel_futures=True)
    tell(Event(task, done, total, finished=True))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> AdoptError:
    remedy = "see to it, then adopt again"
    where = os.path.realpath(path)
    return AdoptError(f"cannot be read ({error.strerror})", where=where, remedy=remedy)


def _batch(folder: str, batch: Sequence[str], stop: threading.Event) -> list[Entry]:
    if stop.is_set():
        return []
    return [_entry(listed, os.path.join(folder, listed), stop) for listed in batch]


def _entry(listed: str, path: str, stop: threading.Event) -> Entry:
    hashed = hashlib.sha256()
    size = 0
    try:
        with open(path, "rb") as file:
            while not stop.is_set() and (data := file.read(CHUNK)):
                hashed.update(data)
                size += len(data)
    except OSError as error:
        raise _unreadable(path, error) from error
    return Entry(listed, size, hashed.digest())
