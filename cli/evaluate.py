"""``dsets evaluate RUN FOLDER``: what a run has learned, in figures and pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._text import count, plain, table

if TYPE_CHECKING:
    from dsets.train.evaluating import Evaluation, Run


@click.command("evaluate")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", help="Evaluate on this one.  [default: the run's own]")
@click.option(
    "--crops",
    type=click.Choice(["1", "10"]),
    help="Of each image: the centre, or ten averaged.  [default: as the recipe says]",
)
@click.option("--size", type=click.IntRange(1), help="Pixels a side of ten crops.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where JSON and pictures go.  [default: evaluation, in RUN]",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: one a core]")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="Of matrix products and convolutions; sums stay float32.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Views computed at once.  [default: as many as the run's training held]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    run: Path,
    folder: Path,
    split: str | None,
    crops: str | None,
    size: int | None,
    out: Path | None,
    device: str,
    threads: int | None,
    precision: str,
    batch_size: int | None,
    as_json: bool,
) -> None:
    """Evaluate the weights of RUN on the packs in FOLDER, and draw what they have learned.

    Prints top-1 and top-5 error and what is confused most; writes evaluation.json with the whole
    confusion matrix, confusion.png, curves.png, and filters.png with the first layer's kernels.
    RUN is the --out of a training run, finished or not.

    Several processes share the images when torchrun starts them, each image counts once:
    torchrun --nproc-per-node 2 -m dsets.cli evaluate RUN FOLDER
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in training
    from dsets import train
    from dsets.train import evaluating

    found = evaluating.find(run, folder, split)
    result = evaluating.evaluate(
        found,
        crops=int(crops) if crops else None,
        size=size,
        device=device,
        threads=threads,
        precision=precision,
        batch_size=batch_size,
    )
    if train.launched()[0] > 0:
        return  # the first process speaks for all
    # Told first: it took hours, maybe, and pictures may find no room.
    told = json.dumps(evaluating.plain(found, result)) if as_json else _shown(found, result)
    click.echo(told)
    for path in evaluating.write(found, result, out or run / "evaluation"):
        if not as_json:
            click.echo(f"wrote {plain(str(path))}", err=True)


def _shown(run: Run, result: Evaluation) -> str:
    figures = result.figures
    shown = f"ten crops of {result.size}" if result.crops > 1 else "one view"
    rows = [
        ("split", f"{plain(run.pack.split)}, {count(figures.images)} images, {shown} each"),
        ("step", count(run.kept.step)),
        ("loss", f"{figures.loss:.4f}"),
        ("top-1 error", f"{1 - figures.top1:.2%}"),
    ]
    if figures.top5 is not None:
        rows.append(("top-5 error", f"{1 - figures.top5:.2%}"))
    names = next(field for field in run.training.fields if field.name == "label").classes
    confusion = result.confusion
    pairs = sorted(
        (-int(confusion[i, j]), i, j) for i, j in zip(*confusion.nonzero(), strict=True) if i != j
    )
    rows += [
        (
            "taken for another" if number == 0 else "",
            f"{plain(names[i])} for {plain(names[j])}: {-n}",
        )
        for number, (n, i, j) in enumerate(pairs[:5])
    ]
    return table(rows)
