"""A pack against its own index, as a report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from dsets.progress import Progress, ignore
from dsets.verify.report import Check, Report


def pack(path: Path | str, *, deep: bool = False, progress: Progress = ignore) -> Report:
    """One check a problem, which names file, field and sample; a single one when all is right.

    ``deep`` also compares every sample's own checksum and adds the statistics up again.
    """
    from dsets import fetch, remote
    from dsets.pack import verify

    renewed: list[str] = []
    if isinstance(path, str) and "://" in path:
        problems = remote.verify(path, progress, deep=deep, renewed=renewed.append)
        path = fetch.shown(path)
    else:
        problems = verify(path, progress, deep=deep)
    wrong = (Check(one.file, False, one.finding, asdict(one)) for one in problems)
    found = tuple(wrong) or (Check("pack", True, "every byte is as its index says"),)
    again = "was damaged in the cache: thrown away, and fetched again"
    return Report(str(path), (*(Check(name, True, again) for name in renewed), *found))
