"""One of several processes that torchrun starts: python -m torch.distributed.run … crew.py PART …

many PACKS OUT          one group for several runs: what they do is written to OUT/said.RANK.json
run PACKS OUT           one run, as any user's script does it
die PACKS OUT STEP      the same, saving after every step, but rank 1 kills itself after STEP
judge PACKS OUT         an evaluation of OUT/out; what they do is written to OUT/said.RANK.json
relay PACKS OUT         one run of ODD batches, which LEGS of several processes take over in turn
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import distributed, nn

from dsets import models, train
from dsets.errors import DsetsError
from dsets.train import engine, evaluating, work
from dsets.train.numerics import Numerics
from tests.train.runs import RECIPE, dropping

RANK = int(os.environ.get("RANK", "0"))
#: Two processes do not divide its batches, and the last one of an epoch even less.
ODD = replace(RECIPE, batch_size=7)
#: How many processes, and after how many steps of theirs they stop; 0 for never.
LEGS = ((2, 2), (3, 2), (4, 4), (3, 0))


def plain(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """A net whose rows have nothing to do with one another."""
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes))


def register() -> None:
    models.MODELS["tiny"] = models.Model(dropping, (16, 16, 1), 10, "for tests")
    models.MODELS["plain"] = models.Model(plain, (16, 16, 1), 10, "for tests")


@contextmanager
def seeing(*, training: bool = True) -> Iterator[list[tuple[int, int]]]:
    """Epoch and number of each valid sample this process trains on, or evaluates."""
    seen: list[tuple[int, int]] = []
    tensors = engine._tensors

    def look(batch: Any, layout: Any) -> Any:
        if torch.is_grad_enabled() is training:
            seen.extend((batch.epoch, int(sample)) for sample in batch.index[batch.valid])
        return tensors(batch, layout)

    engine._tensors = look
    try:
        yield seen
    finally:
        engine._tensors = tensors


def many(packs: Path, out: Path) -> dict[str, Any]:
    """Runs of this process among the others."""
    distributed.init_process_group("gloo")
    said: dict[str, Any] = {}
    with seeing() as seen, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run("plain", packs, out / "plain", recipe=ODD)
    said["seen"] = list(seen)
    said["warnings"] = [str(warning.message) for warning in told]
    run("plain", packs, out / "pieces", recipe=ODD, numerics=Numerics(accumulate=3))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run("tiny", packs, out / "tiny")
    said["batch norm"] = [str(warning.message) for warning in told]
    # Stopped in one process only, of its own accord.
    asked = iter([RANK == 1, False])
    stopped = run("plain", packs, out / "stopped", stop=lambda: next(asked))
    said["stopped"] = (stopped.step, stopped.finished)
    for name, options in (("seeds", {"seed": RANK}), ("foreign", {})):
        (out / "foreign").mkdir(exist_ok=True)
        (out / "foreign" / "log.jsonl").write_text("mine")
        try:
            run("plain", packs, out / name, **options)
        except DsetsError as error:
            said[name] = str(error)
    return said


def judge(packs: Path, out: Path) -> dict[str, Any]:
    """An evaluation over the training pack, in batches as the run had them."""
    with seeing(training=False) as seen:
        found = evaluating.evaluate(evaluating.find(out / "out", packs, "train"), threads=1)
    return {"seen": seen, **found.figures.plain(), "confusion": found.confusion.tolist()}


def relay(packs: Path, out: Path) -> int:
    """Each leg's processes are forked from this one, so that torch is loaded once; what a launcher
    says to them they are told here. Each writes what it saw to ``seen.LEG.RANK.json``."""
    for leg, (world, steps) in enumerate(LEGS):
        with socket.create_server(("127.0.0.1", 0)) as free:
            os.environ["MASTER_PORT"] = str(free.getsockname()[1])
        os.environ.update(MASTER_ADDR="127.0.0.1", WORLD_SIZE=str(world))
        crew = []
        for rank in range(world):
            if child := os.fork():
                crew.append(child)
                continue
            os.environ["RANK"] = str(rank)
            _forked(packs, out, steps, f"seen.{leg}.{rank}.json")
        if any([os.waitpid(child, 0)[1] for child in crew]):
            return 1
    return 0


def _forked(packs: Path, out: Path, steps: int, name: str) -> NoReturn:
    taken = itertools.count(1)
    try:
        with seeing() as seen:
            run("plain", packs, out / "out", lambda: next(taken) == steps, recipe=ODD)
        (out / name).write_text(json.dumps(seen))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def run(
    model: str, packs: Path, out: Path, stop: Callable[[], bool] = lambda: False, **options: Any
) -> train.Result:
    options = {"recipe": RECIPE, "threads": 1, **options}
    return train.run(train.plan(model, packs, out, **options), stop=stop)


def main(part: str, packs: str, out: str, step: str = "0") -> int:
    # As the command does: whoever started us asks for an end, and the step comes first.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    torch.set_num_threads(1)
    register()
    if part == "many":
        said = many(Path(packs), Path(out))
        Path(out, f"said.{RANK}.json").write_text(json.dumps(said))
        distributed.destroy_process_group()
        return 0
    if part == "judge":
        said = judge(Path(packs), Path(out))
        Path(out, f"said.{RANK}.json").write_text(json.dumps(said))
        return 0
    if part == "relay":
        return relay(Path(packs), Path(out))
    taken = 0

    def stop() -> bool:
        nonlocal taken
        taken += 1
        if part == "die" and RANK == 1 and taken == int(step):
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    if part == "die":
        work.CHECKPOINT_S = 0.0
    try:
        with seeing() as seen:
            run("tiny", Path(packs), Path(out), stop)
    except DsetsError as error:
        print(f"rank {RANK}: {error}", file=sys.stderr)
        return 1
    finally:
        Path(f"{out}.seen.{RANK}.json").write_text(json.dumps(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
