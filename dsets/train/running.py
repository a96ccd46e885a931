"""A run: one folder that a killed process can always go on from.

    checkpoint.pt   everything needed to go on (``dsets.train.checkpoint``)
    log.jsonl       the loss curve and every evaluation; no times in it
    speed.jsonl     images a second and the share of waiting, as it happened
    curves.png      loss, accuracy and rate over the steps, drawn when the run is finished
    result.json     written when the run is finished

1. Killed at any moment and started again, a run ends with the same bytes in log.jsonl and the same
   weights as one left alone, in the same environment (machine, torch, number of threads). If the
   environment changed, the log says so in a line of its own. The number of processes is part of
   the environment, and may change: each sample still counts once an epoch.
2. A checkpoint is written before anything else, after every epoch, and between steps at least every
   30 seconds. A run asked to stop finishes its step and writes one.
3. Files in the folder that no checkpoint accounts for are not ours, and are never written over;
   nor is a result that tells of other weights than the checkpoint has.
4. One run at a time: a second one is refused.
5. Of several processes (``torchrun``) the first writes all files; ``out`` is on storage that all
   see. When one dies the others end with an error, and the run goes on from its checkpoint.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsets import codecs, locks, models, stream
from dsets.errors import TrainError
from dsets.stream import Stream
from dsets.train import determinism, memory, pictures, weights
from dsets.train import ranks as processes
from dsets.train.log import Log
from dsets.train.moment import Hook, Moment
from dsets.train.planning import Plan
from dsets.train.ranks import Ranks
from dsets.train.work import Logs, Work
from dsets.train.writing import writing


@dataclass(frozen=True, slots=True)
class Result:
    """``finished`` is false for a run that was asked to stop. ``history``: one entry an evaluation.
    An epoch has ``epoch_steps`` of the ``steps``.

    ``seconds`` is the time behind the final weights; work that was lost to a kill is not in it.
    """

    finished: bool
    model: str
    parameters: int
    step: int
    steps: int
    epoch_steps: int
    seconds: float
    history: list[dict[str, Any]]
    out: Path


def ignore(moment: Moment) -> None:
    """The progress function of whoever does not care."""


def never() -> bool:
    """The stop function of whoever waits for the end."""
    return False


def run(
    plan: Plan,
    *,
    progress: Callable[[Moment], None] = ignore,
    stop: Callable[[], bool] = never,
    hooks: Sequence[Hook] = (),
) -> Result:
    """Train as planned, from the checkpoint in ``plan.out`` if there is one.

    ``progress`` is called for every line of the log, in the first process; ``stop`` is asked after
    every step, and one process that is asked stops all. ``hooks`` are plain functions, called in
    their order and in every process with each step that was taken, before it is logged or saved. A
    hook may read everything; what it changes is its own responsibility: no checkpoint or digest
    knows of it. What it raises ends the run.

    Raises:
        TrainError: the checkpoint is of another run or damaged, a file cannot be written (the last
            checkpoint stays), foreign files are in the way, a result of other weights is, the loss
            is no longer a number, or memory runs out.
        BusyError: another process trains into the same folder.
    """
    with (
        memory.told(
            plan.out,
            "compute each batch in more pieces: a larger --accumulate than "
            f"{plan.numerics.accumulate}; the last checkpoint stays",
        ),
        processes.joined(plan.device) as ranks,
        _folder(plan, ranks),
        determinism.exact(plan.threads, plan.device, compiled=plan.numerics.compiled),
        _streams(plan, ranks) as (training, evaluation),
    ):
        work = Work(plan, training, evaluation, ranks, hooks)
        if ranks.first:
            for caution in processes.cautions(ranks.world, plan.recipe.batch_size, work.model):
                warnings.warn(caution, stacklevel=2)
        begun = work.begin()
        with ExitStack() as files:
            logs = None
            if ranks.first:
                logs = Logs(
                    files.enter_context(
                        Log(plan.out / "log.jsonl", begun.log_bytes, begun.log_sha256)
                    ),
                    files.enter_context(Log(plan.out / "speed.jsonl")),
                )
                if logs.curve.length == 0 or work.environments != begun.environments:
                    logs.curve.write({"kind": "environment", **work.environments[-1]})
            finished = work.go(logs, progress if ranks.first else ignore, stop)
        result = Result(
            finished=finished,
            model=plan.model,
            parameters=models.parameters(work.model),
            step=work.step,
            steps=plan.steps,
            epoch_steps=plan.epoch_steps,
            seconds=work.history[-1]["seconds"] if finished else work.seconds,
            history=work.history,
            out=plan.out,
        )
        if finished and ranks.first:
            _write_result(plan, result, work)
        return result


@contextmanager
def _folder(plan: Plan, ranks: Ranks) -> Iterator[None]:
    """Hold ``plan.out``, made if it is not there."""
    with ExitStack() as held:

        def hold() -> None:
            try:
                plan.out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TrainError(
                    f"cannot make the run's folder: {error.strerror}",
                    where=plan.out,
                    remedy="give another --out",
                ) from error
            held.enter_context(locks.holding(plan.out, folder=True, wait=False))

        ranks.by_first(hold)
        yield


@contextmanager
def _streams(plan: Plan, ranks: Ranks) -> Iterator[tuple[Stream, Stream]]:
    """The training stream, and one over the evaluation pack in its own order."""
    images = plan.recipe.images
    with (
        stream.batches(
            plan.training,
            plan.recipe.batch_size,
            seed=plan.seed,
            transform=images.training(plan.training),
            rank=(ranks.rank, ranks.world),
            device=plan.device,
        ) as training,
        stream.batches(
            plan.evaluation,
            memory.held(plan.recipe.batch_size, plan.numerics.accumulate),
            shuffle=False,
            transform=images.evaluation(plan.training),
            rank=(ranks.rank, ranks.world),
            device=plan.device,
        ) as evaluation,
    ):
        yield training, evaluation


def _write_result(plan: Plan, result: Result, work: Work) -> None:
    told = {
        "model": result.model,
        "parameters": result.parameters,
        "test": result.history[-1],
        "seconds": result.seconds,
        "steps": result.steps,
        "history": result.history,
        **plan.identity(),
        "environment": work.environments[-1],
        "weights": weights.digest(work.model.state_dict()),
    }
    files = {
        "curves.png": codecs.encode_png(pictures.curves(plan.out / "log.jsonl")),
        "result.json": f"{json.dumps(told, indent=1)}\n".encode(),
    }
    if _told_before(plan.out / "result.json", told["weights"]):
        del files["result.json"]
    for name, content in files.items():
        with writing(f"the run's {name}", plan.out / name) as part:
            part.write_bytes(content)


def _told_before(path: Path, digest: str) -> bool:
    """Whether the result is there already, of these weights. Raises TrainError if of others."""
    try:
        told = json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except (OSError, ValueError, RecursionError) as error:
        raise TrainError(
            "cannot be read, and is not written over",
            where=path,
            got=str(error),
            remedy="move it, and give the same command again to have it made",
        ) from error
    got = told.get("weights") if isinstance(told, dict) else None
    if got != digest:
        raise TrainError(
            "the result is of other weights than the checkpoint",
            where=path,
            expected=f"weights {digest}",
            got=got,
            remedy="put the checkpoint back that it was made of; or move it, and give the same "
            "command again to have it made of this one",
        )
    return True
