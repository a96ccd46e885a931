"""``dsets train MODEL FOLDER``: train a reference model on prepared packs."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from dsets.progress import Event, Progress

from ._names import MODEL, RECIPE
from ._progress import bars
from ._text import count, table

if TYPE_CHECKING:
    from dsets.train import Moment, Numerics, Plan, Result

EVERY_S = 5.0  # between lines about training; every evaluation gets one


@click.command("train")
@click.argument("model", required=False, type=MODEL)
@click.argument(
    "folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--recipe",
    type=RECIPE,
    help="A recipe's name, or the path of one of your own.  [default: the model's]",
)
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's number.")
@click.option("--batch-size", type=click.IntRange(1), help="Instead of the recipe's size.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where checkpoint, log and result go.  [default: below $DSETS_HOME/runs]",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: one a core]")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="Of matrix products and convolutions; weights and sums stay float32.",
)
@click.option(
    "--accumulate",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Compute each batch in so many pieces, to fit into memory; the step is the same.",
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the model by torch.compile.")
@click.option(
    "--channels-last/--no-channels-last",
    default=True,
    show_default=True,
    help="How images and kernels lie in memory; the others are row-major.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print plan, result or list as JSON.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option(
    "--list", "as_list", is_flag=True, help="List the recipes and their models, or those for MODEL."
)
def command(
    model: str | None,
    folder: Path | None,
    as_list: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train MODEL on the packs in FOLDER and tell its accuracy on the test split.

    A run that was interrupted or killed goes on when the same command is given again, and ends with
    the same loss curve as if nothing had happened.

    Several processes train together when torchrun starts them:
    torchrun --nproc-per-node 2 -m dsets.cli train MODEL FOLDER
    """
    # Before torch loads. Threads that spin while they wait starve the stream's, and one another
    # where cores are shared: 200-500 images/s against 900-1,800 (lenet, load 6 on two cores).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from dsets import train

    if as_list:
        if folder is not None:
            raise click.UsageError("--list takes no FOLDER")
        _list(model, as_json)
        return
    if model is None or folder is None:
        raise click.UsageError("MODEL and FOLDER are needed; dsets models names the models")
    numerics = train.Numerics(
        *(options.pop(name) for name in ("precision", "accumulate", "compiled", "channels_last"))
    )
    planned = _plan(model, folder, numerics, **options)
    others = train.launched()[0] > 0  # the first process speaks for all
    if dry_run:
        if not others:
            _print_plan(planned, as_json)
        return
    with bars("samples", quiet=quiet or others) as report, _asked_to_stop() as asked:
        result = train.run(planned, progress=_telling(report), stop=lambda: bool(asked))
    if not result.finished:
        for number in asked:  # its handler is the one before: it ends us as it does any command
            signal.raise_signal(number)
        raise KeyboardInterrupt
    if not others:
        _print_result(result, as_json)


def _plan(
    model: str,
    folder: Path,
    numerics: Numerics,
    *,
    recipe: str | None,
    epochs: int | None,
    batch_size: int | None,
    **options: Any,
) -> Plan:
    from dsets import train
    from dsets.train import recipes

    chosen = recipes.find(recipe).recipe if recipe is not None else recipes.of(model)
    changed = replace(
        chosen, epochs=epochs or chosen.epochs, batch_size=batch_size or chosen.batch_size
    )
    return train.plan(model, folder, recipe=changed, numerics=numerics, **options)


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """SIGINT or SIGTERM, once one came; a second one ends the process in the usual, harder way.

    What is ignored stays so, as Ctrl-C in a job that a script started in the background.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for again, handler in before.items():
            signal.signal(again, handler)

    heeded = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.signal(number, ask) for number in heeded}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _telling(report: Progress) -> Callable[[Moment], None]:
    """Turns a run's moments into progress events; samples count over all epochs."""
    told = 0.0

    def tell(moment: Moment) -> None:
        nonlocal told
        now = time.monotonic()
        evaluated = moment.figures is not None and moment.speed is None
        begins = moment.figures is None
        message = ""
        if begins or evaluated or now - told >= EVERY_S:
            told = now
            message = _line(moment)
        plan = moment.plan
        whole, rest = divmod(moment.step, plan.epoch_steps)
        done = whole * len(plan.training) + rest * plan.recipe.batch_size
        whole, rest = divmod(plan.steps, plan.epoch_steps)
        total = whole * len(plan.training) + rest * plan.recipe.batch_size
        finished = evaluated and moment.step == plan.steps
        report(Event(plan.model, done, total, message, finished))

    return tell


def _line(moment: Moment) -> str:
    plan = moment.plan
    if moment.figures is None:
        changed = f"; since then {', '.join(plan.changes)}" if plan.changes else ""
        begins = f"goes on from step {moment.step}" if moment.step else "begins"
        return f"{begins} of {count(plan.steps)} steps, {plan.threads} threads{changed}"
    figures = f"loss {moment.figures.loss:.4f}, top-1 {moment.figures.top1:.2%}"
    if moment.figures.top5 is not None:
        figures += f", top-5 {moment.figures.top5:.2%}"
    epoch = f"epoch {moment.epoch}/{-(-plan.steps // plan.epoch_steps)}"
    if moment.step % plan.epoch_steps and moment.step == plan.steps:
        epoch += f", step {count(moment.step)}"
    if moment.speed is None:
        return f"{epoch}: {plan.evaluation.split} {figures}"
    speed = f"{moment.speed.rate:,.0f} images/s, {moment.speed.share:.0%} of it waiting for data"
    return f"{epoch}: {figures}, {speed}"


def _list(model: str | None, as_json: bool) -> None:
    """All recipes, or those that are for one model."""
    from dsets.train import recipes

    every = [recipes.find(name) for name in recipes.names()]
    found = [one for one in every if model is None or model in one.models]
    if as_json:
        rows = [
            {
                "name": one.name,
                "title": one.title,
                "source": one.source,
                "models": list(one.models),
                "recipe": one.recipe.plain(),
            }
            for one in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    cells = [
        (
            one.name,
            str(one.recipe.epochs),
            str(one.recipe.batch_size),
            f"{one.recipe.update.rule} {one.recipe.update.rate:g}",
            one.recipe.schedule.kind,
            ", ".join(one.models),
        )
        for one in found
    ]
    click.echo(table([("recipe", "epochs", "batch", "update", "schedule", "models"), *cells]))


def _print_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        told = {
            **plan.identity(),
            "environment": plan.environment(),
            "steps": plan.steps,
            "taken": plan.taken,
            "changes": list(plan.changes),
            "out": str(plan.out),
        }
        click.echo(json.dumps(told, indent=2))
        return
    recipe = plan.recipe.plain()
    groups = {name: recipe.pop(name) for name in ("update", "schedule", "images")}
    rows = [
        ("model", plan.model),
        ("train on", f"{plan.training.path}, {count(len(plan.training))} samples"),
        ("evaluate on", f"{plan.evaluation.path}, {count(len(plan.evaluation))} samples"),
        ("recipe", _shown(recipe)),
        *((name, _shown(values)) for name, values in groups.items()),
        ("steps", f"{count(plan.steps)}, of which {count(plan.taken)} are taken"),
        ("environment", ", ".join(f"{name} {got}" for name, got in plan.environment().items())),
        ("out", str(plan.out)),
    ]
    if plan.changes:
        rows.append(("changed", f"{', '.join(plan.changes)}: the loss curve may differ"))
    click.echo(table(rows))


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _after(result: Result) -> str:
    """How long it was trained: whole epochs, or the steps of one that a recipe ends within."""
    steps = f"{count(result.steps)} step{'s' * (result.steps != 1)}"
    whole, rest = divmod(result.steps, result.epoch_steps)
    if rest == 0:
        return f"{count(whole)} epoch{'s' * (whole != 1)}"
    return f"{steps} ({result.steps / result.epoch_steps:.3g} epochs)"


def _print_result(result: Result, as_json: bool) -> None:
    if as_json:
        click.echo((result.out / "result.json").read_text(encoding="utf-8"), nl=False)
        return
    last = result.history[-1]
    click.echo(
        f"test accuracy {last['top1']:.2%} ({last['images']:,} images, loss {last['loss']:.4f}) "
        f"after {_after(result)}, {result.seconds:.0f} s"
    )
    click.echo(f"checkpoint {result.out / 'checkpoint.pt'}, log {result.out / 'log.jsonl'}")
