"""Numbers with their birth certificate: one JSON line a measurement, appended to results/.

A line says what was measured, in which unit, how often, median, least and greatest, and on what:
machine, cores, load of the last minute, operating system, Python, package versions, commit. It
names no host, no user and no path. A commit ends in ``+`` when the tree held changes that it does
not have.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "dsets",
    "click",
    "dask",
    "h5py",
    "numpy",
    "pandas",
    "pillow",
    "protobuf",
    "requests",
    "torch",
)


def line(
    what: str, unit: str, values: Sequence[float], facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One measurement of ``what``, taken ``len(values)`` times; ``facts`` are its conditions."""
    return {
        "what": what,
        "unit": unit,
        "n": len(values),
        "median": round(statistics.median(values), 6),
        "min": round(min(values), 6),
        "max": round(max(values), 6),
        **(facts or {}),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        **surroundings(),
    }


def append(name: str, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Add lines to ``results/<name>.jsonl`` and return its path."""
    path = RESULTS / f"{name}.jsonl"
    RESULTS.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in lines)
    return path


def surroundings() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    return {
        "machine": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        for entry in Path("/proc/cpuinfo").read_text().splitlines():
            if entry.startswith("model name"):
                return entry.split(":", 1)[1].strip()
    except FileNotFoundError:
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    commit = _output("git", "rev-parse", "--short=12", "HEAD")
    changed = _output("git", "status", "--porcelain", "--", ":!benchmarks/results")
    return f"{commit or 'unknown'}{'+' if changed else ''}"


def _output(*command: str) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    except FileNotFoundError:
        return ""
    return run.stdout.strip()
