"""Pictures of recorded training results, for the guide.

    python benchmarks/train_pictures.py beside       accuracy against minutes, into docs/
    python benchmarks/train_pictures.py figure1 RELU TANH [--save]
    python benchmarks/train_pictures.py norm WITHOUT WITH [--save]

``beside`` draws the last two lines that train_beside.py recorded. The others take folders of runs
of `dsets train`, finished or not: figure1 says after how many epochs the training error, as the
mean over each epoch while it is trained, fell below 25 % (linear between epochs). --save appends
to results/train.jsonl and puts the logs beside it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import record

from dsets import codecs
from dsets.train.chart import Line, Panel, draw

DOCS = record.ROOT / "docs"
WANTED = 0.25


def beside() -> None:
    lines = [json.loads(line) for line in (record.RESULTS / "train.jsonl").open()]
    both = [line for line in lines if ", fed by " in line["what"]][-2:]
    panels = [
        Panel(
            f"test accuracy of {both[0]['what'].split()[0]}",
            below,
            [Line(one["what"].split("fed by ")[1], one[key], one["by_epoch"]) for one in both],
        )
        for key, below in (
            ("minutes", "minutes on a shared machine"),
            ("processor_minutes", "minutes of processor time"),
        )
    ]
    save("accuracy-minutes.png", panels)


def errors(run: Path) -> list[float]:
    """The training error of each whole epoch, from the first."""
    lines = [json.loads(line) for line in (run / "log.jsonl").open()]
    ends = [line["step"] for line in lines if line["kind"] == "evaluation"]
    found = []
    for begin, end in zip([0, *ends], ends, strict=False):
        part = [x for x in lines if x["kind"] == "train" and begin < x["step"] <= end]
        right = sum(line["top1"] * line["images"] for line in part)
        found.append(1 - right / sum(line["images"] for line in part))
    return found


def crossing(found: list[float]) -> float | None:
    """After how many epochs the error fell to what is wanted; None if it has not."""
    for number, error in enumerate(found):
        if error <= WANTED:
            before = found[number - 1] if number else 0.9
            return number + (before - WANTED) / (before - error)
    return None


def recipe_of(run: Path) -> dict[str, Any]:
    from dsets.train import checkpoint

    kept = checkpoint.load(run / "checkpoint.pt")
    return {"recipe": kept.identity["recipe"], "seconds": round(kept.seconds, 1)}


def figure1(runs: dict[str, Path], *, keep: bool) -> None:
    curves = {name: errors(run) for name, run in runs.items()}
    lines = []
    for name, curve in curves.items():
        print(name, [round(error, 4) for error in curve])
        epochs = crossing(curve)
        facts = {"by_epoch": [round(error, 4) for error in curve], **recipe_of(runs[name])}
        what = f"{name}: epochs to 25 % training error"
        if epochs is None:
            what, epochs = f"{name}: not at 25 % training error after epochs", float(len(curve))
        lines.append(record.line(what, "epochs", [epochs], facts))
        print(what, epochs)
    pictured = [Line(name, list(range(1, len(curve) + 1)), curve) for name, curve in curves.items()]
    longest = max(map(len, curves.values()))
    pictured.append(Line("25 %", [1, longest], [WANTED, WANTED]))
    save("figure-1.png", [Panel("training error", "epochs", pictured)])
    finish(runs, lines, keep=keep)


def norm(runs: dict[str, Path], *, keep: bool) -> None:
    lines = []
    for name, run in runs.items():
        logged = [json.loads(line) for line in (run / "log.jsonl").open()]
        tops = [line["top1"] for line in logged if line["kind"] == "evaluation"]
        facts = {"by_epoch": [round(1 - top1, 4) for top1 in tops], **recipe_of(run)}
        lines.append(record.line(f"{name}: test error", "share", [1 - tops[-1]], facts))
        print(name, facts["by_epoch"])
    finish(runs, lines, keep=keep)


def finish(runs: dict[str, Path], lines: list[dict[str, Any]], *, keep: bool) -> None:
    if keep:
        record.append("train", lines)
        for name, run in runs.items():
            shutil.copy(run / "log.jsonl", record.RESULTS / f"train_{name}.log.jsonl")


def save(name: str, panels: list[Panel]) -> None:
    (DOCS / name).write_bytes(codecs.encode_png(draw(panels)))
    print(f"docs/{name}: {(DOCS / name).stat().st_size} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["beside", "figure1", "norm"])
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    if options.what == "beside":
        beside()
    elif options.what == "figure1":
        named = dict(zip(("cifar_relu", "cifar_tanh"), options.runs, strict=True))
        figure1(named, keep=options.save)
    else:
        named = dict(zip(("cifar_13pct", "cifar_11pct"), options.runs, strict=True))
        norm(named, keep=options.save)
    return 0


if __name__ == "__main__":
    sys.exit(main())
