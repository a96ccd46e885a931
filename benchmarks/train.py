"""Accuracy and time of `dsets train` with a model's own recipe, on real packs.

    python benchmarks/train.py lenet FOLDER [--seeds 3] [--save]

FOLDER is what `dsets prepare` made: one pack a split. Each seed is a run of the installed command
in a process of its own, in a new folder. A line has the test accuracy of every seed and their
median, the seconds (evaluations and checkpoints included, start-up not), the accuracy after every
epoch of the first seed, the digests of the packs, and the machine. --save appends it to
results/train.jsonl and puts the first seed's log beside it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import record

SCRIPT = Path(sys.executable).parent / "dsets"


def run(model: str, folder: Path, seed: int, out: Path) -> dict[str, Any]:
    """One run; what its result.json says."""
    command = [SCRIPT, "train", model, folder, "--seed", seed, "--out", out, "--json"]
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="append to results/train.jsonl")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        outs = [Path(scratch) / str(seed) for seed in range(options.seeds)]
        results = [run(options.model, options.folder, seed, out) for seed, out in enumerate(outs)]
        line = record.line(
            f"{options.model} test accuracy",
            "share",
            [result["test"]["top1"] for result in results],
            {
                "seconds": [result["seconds"] for result in results],
                "by_epoch": [entry["top1"] for entry in results[0]["history"]],
                **{name: results[0][name] for name in ("recipe", "training", "evaluation")},
                "threads": results[0]["environment"]["threads"],
            },
        )
        print(json.dumps(line, indent=1))
        if options.save:
            record.append("train", [line])
            shutil.copy(outs[0] / "log.jsonl", record.RESULTS / f"train_{options.model}.log.jsonl")
    return 0


if __name__ == "__main__":
    sys.exit(main())
