"""Sizes and digests of many files, in threads, a batch of files a task."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from dsets.adopt.parts import Root
from dsets.errors import AdoptError
from dsets.fetch.hashing import CHUNK
from dsets.progress import Event, Progress
from dsets.readers._listing import Entry

BATCH = 256  # files: enough work for a thread, soon enough for Ctrl-C


def entries(task: str, roots: Sequence[tuple[str, Root]], jobs: int, tell: Progress) -> list[Entry]:
    """Every file of the roots. Each root's paths in the listing begin with its prefix.

    Raises:
        AdoptError: a file cannot be read any more.
    """
    stop = threading.Event()
    total = sum(map(_size, (os.path.join(root.path, path) for _, root in roots for path in root)))
    done = 0
    tell(Event(task, 0, total))
    made: list[Entry] = []
    with ThreadPoolExecutor(max(jobs, 1), "dsets-adopt") as pool:
        try:
            batches = _batches(roots)
            for found in pool.map(lambda batch: _batch(batch, stop), batches):
                made += found
                done += sum(entry.bytes for entry in found)
                tell(Event(task, done, total))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    tell(Event(task, done, total, finished=True))
    return made


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> AdoptError:
    remedy = "see to it, then adopt again"
    return AdoptError(f"cannot be read ({error.strerror})", where=path, remedy=remedy)


def _batches(roots: Sequence[tuple[str, Root]]) -> Iterator[list[tuple[str, str]]]:
    """(path in the listing, path on the disk) of some files at a time."""
    pairs = (
        (f"{prefix}{path}", os.path.join(root.path, path))
        for prefix, root in roots
        for path in root
    )
    while batch := list(islice(pairs, BATCH)):
        yield batch


def _batch(batch: Sequence[tuple[str, str]], stop: threading.Event) -> list[Entry]:
    return [] if stop.is_set() else [_entry(listed, path, stop) for listed, path in batch]


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
