"""What the system knows: memory and processor time of processes, the page cache of files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsets.pack import Pack


def memory(process: int) -> int:
    """Bytes that a process and its children hold beside the page cache (Linux; else 0)."""
    try:
        status = Path(f"/proc/{process}/status").read_text().splitlines()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return 0
    own = [line.split()[1] for line in status if line.startswith(("RssAnon", "RssShmem"))]
    return sum(map(int, own)) * 1024 + sum(memory(int(child)) for child in children)


def processor(process: int) -> float:
    """Processor seconds of a process and its children so far (Linux; else 0)."""
    try:
        own = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return 0.0
    ticks = int(own[11]) + int(own[12])
    return ticks / os.sysconf("SC_CLK_TCK") + sum(processor(int(child)) for child in children)


def queued() -> float:
    """Seconds that the calling thread has stood ready without a processor (Linux; else 0)."""
    try:
        with open("/proc/thread-self/schedstat", "rb", buffering=0) as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def cold(pack: Pack) -> bool:
    """Forget what the page cache holds of a pack's shards; False where the system cannot.

    Pages that a process has mapped stay, so do this before the pack is streamed.
    """
    return drop(pack.path / shard.name for shard in pack.index.shards)


def drop(paths: Iterable[Path]) -> bool:
    """Forget what the page cache holds of these files; False where the system cannot."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in paths:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)  # pages that are not yet on disk cannot be dropped
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)
    return True
