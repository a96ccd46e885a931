"""Figure 1 of the AlexNet paper, a rate chosen for each net by successive halving.

    python benchmarks/train_rates.py cifar_relu PACKS OUT [--seed 0] [--threads 1] [--save]

No regularisation, batch 128, momentum 0.9, images from 0 to 255 less the mean image, as
cuda-convnet had them and its first weights are drawn for. Each of RATES trains for one epoch; while
the best is at an end of the row, the row goes on there by a factor of 2. The best two go on to four
epochs, the best of these to 25 % training error, to --most epochs, or until its loss is no number.
An epoch's training error is the mean while it is trained. OUT keeps a run of each rate: killed, the
same command goes on; with --most 0 it trains what the choice still needs, and tells what is there.
--save appends what came out to results/train.jsonl, every rate with its errors, and puts the
winner's log beside it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import record
from train_pictures import WANTED, crossing, errors

from dsets import train
from dsets.errors import TrainError
from dsets.train import Images, Moment, Recipe, Schedule, Update

RATES = (0.001, 0.002, 0.004)
FACTOR = 2
#: (epochs, how many rates get so far)
RUNGS = ((1, None), (4, 2))
MOST = 60
#: The error of a rate whose loss stopped being a number: that of guessing.
LOST = 0.9


class Scan:
    """The runs of one net; ``curves`` has the training error of each epoch by rate."""

    def __init__(self, net: str, packs: Path, out: Path, seed: int, threads: int) -> None:
        self._net, self._packs, self._out = net, packs, out
        self._seed, self._threads = seed, threads
        self.curves: dict[float, list[float]] = {}

    def run(self, rate: float) -> Path:
        """The folder of a rate's run."""
        return self._out / f"{self._net}-{rate:g}"

    def reach(self, rate: float, epochs: int) -> float:
        """Train until ``epochs`` are done; the last one's training error."""
        curve = self.curves.get(rate, [])
        while len(curve) < epochs and LOST not in curve:
            curve = self.curves[rate] = self._another(rate)
            print(self._net, rate, [round(error, 4) for error in curve], flush=True)
        return curve[-1]

    def _another(self, rate: float) -> list[float]:
        recipe = Recipe(
            epochs=MOST,
            batch_size=128,
            update=Update(rate),
            schedule=Schedule("constant"),
            images=Images(subtract="mean-image"),
        )
        out, begun = self.run(rate), len(self.curves.get(rate, []))
        plan = train.plan(
            self._net, self._packs, out, recipe=recipe, seed=self._seed, threads=self._threads
        )
        if plan.taken // plan.epoch_steps > begun:  # of a scan that was killed
            return errors(out)
        ended = False

        def progress(moment: Moment) -> None:
            nonlocal ended
            ended = moment.figures is not None and moment.speed is None

        try:
            train.run(plan, progress=progress, stop=lambda: ended)
        except TrainError as error:
            if "no longer a number" not in str(error):
                raise
            return [*self.curves.get(rate, []), LOST]
        return errors(out)


def choose(scan: Scan) -> float:
    """The rate that trains fastest, so far as the rungs tell."""
    rates = list(RATES)
    for epochs, many in RUNGS:
        rates = rates[:many]
        while True:
            rates.sort(key=lambda rate: scan.reach(rate, epochs))
            if many is None and rates[0] == max(rates):
                rates.append(rates[0] * FACTOR)
            elif many is None and rates[0] == min(rates):
                rates.append(rates[0] / FACTOR)
            else:
                break
    return rates[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", choices=["cifar_relu", "cifar_tanh"])
    parser.add_argument("packs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--most", type=int, default=MOST, help="epochs of the best rate")
    parser.add_argument("--save", action="store_true", help="append to results/train.jsonl")
    options = parser.parse_args()
    scan = Scan(options.net, options.packs, options.out, options.seed, options.threads)
    best = choose(scan)
    while scan.curves[best][-1] > WANTED and len(scan.curves[best]) < options.most:
        if scan.reach(best, len(scan.curves[best]) + 1) == LOST:
            break
    epochs = crossing(scan.curves[best])
    facts: dict[str, Any] = {
        "rate": best,
        "by_rate": {
            f"{rate:g}": [round(error, 4) for error in curve]
            for rate, curve in sorted(scan.curves.items())
        },
        "environment": json.loads((scan.run(best) / "log.jsonl").open().readline()),
    }
    what = f"{options.net}: epochs to 25 % training error, rate scanned"
    if epochs is None:
        what, epochs = (
            f"{options.net}: not at 25 % training error after epochs",
            float(len(scan.curves[best])),
        )
    line = record.line(what, "epochs", [epochs], facts)
    print(json.dumps(line, indent=1))
    if options.save:
        record.append("train", [line])
        target = record.RESULTS / f"train_{options.net}_scanned.log.jsonl"
        shutil.copy(scan.run(best) / "log.jsonl", target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
