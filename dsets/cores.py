"""How many threads or processes can run at once."""

from __future__ import annotations

import os


def cores() -> int:
    """The cores that this process may use: those of its affinity, where there is such a thing."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
