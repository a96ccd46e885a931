"""Accuracy and time of `dsets train` with a model's own recipe, on real packs.

    python benchmarks/train.py lenet FOLDER [--seeds 3] [--recipe NAME] [--save]
    python benchmarks/train.py lenet --runs OUT… [--save]

FOLDER is what `dsets prepare` made: one pack a split. Each seed is a run of the installed command
in a process of its own, in a new folder. With --runs, finished runs of `dsets train` are taken
instead, which may have been interrupted. A line has the test accuracy of every seed and their
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


def run(
    model: str, folder: Path, seed: int, out: Path, recipe: str | None = None
) -> dict[str, Any]:
    """One run; what its result.json says."""
    command = [SCRIPT, "train", model, folder, "--seed", seed, "--out", out, "--json"]
    command += ["--recipe", recipe] if recipe else []
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipe", help="a name or a path, instead of the model's")
    parser.add_argument("--runs", type=Path, nargs="+", help="finished runs, instead of FOLDER")
    parser.add_argument("--save", action="store_true", help="append to results/train.jsonl")
    options = parser.parse_args()
    if (options.folder is None) == (options.runs is None):
        parser.error("FOLDER, or --runs")

    with tempfile.TemporaryDirectory() as scratch:
        if options.runs:
            outs = options.runs
            results = [json.loads((out / "result.json").read_text()) for out in outs]
        else:
            outs = [Path(scratch) / str(seed) for seed in range(options.seeds)]
            results = [
                run(options.model, options.folder, seed, out, options.recipe)
                for seed, out in enumerate(outs)
            ]
        if {result["model"] for result in results} != {options.model}:
            parser.error(f"these are no runs of {options.model}")
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
