"""What dsets costs before it does anything: `import dsets`, `dsets --help`, `dsets --version`.

    python benchmarks/startup.py [--rounds 15] [--save]

The rounds go side by side (bare interpreter, import, help, …, again), so that a busy moment hits
every contestant. `import dsets` is reported over the bare interpreter of its own round. Limits that
the project set itself: 0.15 s for the import, 0.3 s for `dsets --help`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import record

SCRIPT = Path(sys.executable).parent / "dsets"
CONTESTANTS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import dsets": [sys.executable, "-c", "import dsets"],
    "dsets --help": [str(SCRIPT), "--help"],
    "dsets --version": [str(SCRIPT), "--version"],
    "import numpy": [sys.executable, "-c", "import numpy"],
    "import click": [sys.executable, "-c", "import click"],
}
LIMITS = {"import dsets over python -c pass": 0.15, "dsets --help": 0.3}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--save", action="store_true", help="append to results/startup.jsonl")
    options = parser.parse_args()

    for command in CONTESTANTS.values():
        seconds(command)  # compiled files and the page cache, once
    taken: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(options.rounds):
        for name, command in CONTESTANTS.items():
            taken[name].append(seconds(command))
    bare = taken["python -c pass"]
    taken["import dsets over python -c pass"] = [
        there - here for there, here in zip(taken["import dsets"], bare, strict=True)
    ]

    lines = [
        record.line(name, "s", values, {"limit": LIMITS.get(name)})
        for name, values in taken.items()
    ]
    for entry in lines:
        limit = f"   limit {entry['limit']}" if entry["limit"] else ""
        spread = f"{entry['min']:.3f} … {entry['max']:.3f}"
        print(f"{entry['what']:34} {entry['median']:.3f} s   {spread}{limit}")
    if options.save:
        record.append("startup", lines)
    return int(any(entry["limit"] and entry["median"] > entry["limit"] for entry in lines))


if __name__ == "__main__":
    sys.exit(main())
