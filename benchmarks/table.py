"""Prints the newest measurement of each thing in results/ as the README's table: `make table`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def newest() -> list[dict[str, Any]]:
    """The last line of each `what`, file by file. Other kinds of line are left alone."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(RESULTS.glob("*.jsonl")):
        for text in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(text)
            if {"what", "unit", "median", "min", "max", "n", "load"} <= entry.keys():
                found[path.stem, entry["what"]] = entry
    return list(found.values())


def main() -> None:
    print("| what | median | least … most | n | machine | date, commit |")
    print("| --- | --- | --- | --- | --- | --- |")
    for entry in newest():
        unit = entry["unit"]
        spread = f"{entry['min']:.3g} … {entry['max']:.3g} {unit}"
        machine = f"{entry['machine']}, {entry['cores']} cores, load {entry['load']}"
        birth = f"{entry['when'][:10]}, {entry['commit']}"
        cells = (entry["what"], f"{entry['median']:.3g} {unit}", spread, str(entry["n"]))
        print(f"| {' | '.join((*cells, machine, birth))} |")


if __name__ == "__main__":
    main()
