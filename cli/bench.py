"""``dsets bench``: how fast a pack streams on this machine, and where the time goes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ._text import count, plain, size

if TYPE_CHECKING:
    from dsets.bench import Report
    from dsets.pack import Pack

#: Share → how it is called.
SHARES = {
    "storage": "waiting for storage",
    "kernel": "gather and transform",
    "functions": "user functions",
    "device": "host to device",
    "ready": "waiting for a processor",
    "idle": "planning, handing over, idle",
}
_BAR = 24


@click.command()
@click.argument("path", metavar="PACK", type=click.Path())
@click.option("--crop", type=click.IntRange(min=1), help="Random crop of that many pixels.")
@click.option("--pad", type=click.IntRange(min=1), help="Pad by that many pixels, crop at random.")
@click.option("--resized-crop", type=click.IntRange(min=1), help="Random resized crop to a size.")
@click.option("--flip", is_flag=True, help="Mirror at random.")
@click.option("--float32", is_flag=True, help="Normalise to float32.")
@click.option("--float16", is_flag=True, help="Normalise to float16.")
@click.option(
    "--window",
    nargs=2,
    type=click.IntRange(1, 2**31 - 1),
    metavar="LANES SAMPLES",
    help="Window order: that many lanes, windows of so many samples. Default: shuffled globally.",
)
@click.option("--batch-size", type=click.IntRange(1, 2**31 - 1), default=256, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), help="Default: one a core, at most 4.")
@click.option("--seconds", type=click.FloatRange(0.01), default=3.0, show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Deliver torch tensors there.")
@click.option("--cold", is_flag=True, help="Drop the pack from the page cache; one epoch at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(path: str, as_json: bool, **options: Any) -> None:
    """Stream a pack as fast as it goes, and say what that is and where the time goes.

    Without further options images come as they are stored. The consumer takes batches and drops
    them: what you see is the loader alone. Then it takes 80 % of that rate, as a training loop
    would, and tells how much of its time it still waits.
    """
    from dsets import bench
    from dsets.pack import Pack
    from dsets.stream import Window

    pack = Pack.open(path)
    report = bench.measure(
        pack,
        options["batch_size"],
        _transform(pack, options),
        seconds=options["seconds"],
        threads=options["threads"],
        device=options["device"],
        cold=options["cold"],
        shuffle=Window(*options["window"]) if options["window"] else True,
    )
    if as_json:
        click.echo(json.dumps({"pack": path, **asdict(report)}, indent=2))
    else:
        _print(path, report)


def _transform(pack: Pack, options: dict[str, Any]) -> list[Any]:
    from dsets import transforms
    from dsets.errors import UsageError

    kinds = {
        "crop": transforms.Crop,
        "pad": transforms.PadCrop,
        "resized_crop": transforms.RandomResizedCrop,
    }
    recipe: list[Any] = [kind(options[name]) for name, kind in kinds.items() if options[name]]
    if options["flip"]:
        recipe.append(transforms.Flip())
    types = [dtype for dtype in ("float32", "float16") if options[dtype]]
    if len(types) > 1:
        raise UsageError("two types", where="bench", expected="--float32 or --float16", got="both")
    if types:
        if pack.statistics is not None:
            normal = transforms.Normalise.of(pack, types[0])
        else:
            image = next((field for field in pack.fields if field.name == "image"), None)
            if image is None:
                raise UsageError("the pack has no image to normalise", where=pack.path)
            channels = 3 if image.encoded else image.shape[-1] or 3
            zero, one = (0.0,) * channels, (255.0,) * channels
            normal = transforms.Normalise(zero, one, types[0])
        recipe.append(normal)
    return recipe


def _print(path: str, report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(plain(path)), show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()
    table.add_row("rate", count(round(report.rate)), "samples/s")
    table.add_row("a core", count(round(report.rate_per_core)), "samples for a processor second")
    table.add_row("read", size(report.stored_bytes_per_second), "of the pack a second")
    table.add_row("first batch", f"{report.first_batch:.3f}", "s from an open pack")
    table.add_row("memory", size(report.memory), "beside the page cache, this process")
    table.add_section()
    for name, share in report.shares.items():
        table.add_row(SHARES[name], f"{share:.1%}", "█" * round(share * _BAR))
    table.add_section()
    table.add_row("consumer waits", f"{report.waiting:.1%}", "of its time, taking all it can get")
    if report.waiting_at_80 is not None:
        table.add_row("", f"{report.waiting_at_80:.1%}", "at 80 % demand")
    if (shuffle := report.quality) is not None:
        table.add_section()
        table.add_row("displacement", f"{shuffle.displacement:.3f}", "1 when shuffled, 0 when not")
        table.add_row("neighbours", f"{shuffle.neighbours:+.3f}", "0 when shuffled, 1 when not")
        if shuffle.balance is not None:
            table.add_row("class balance", f"{shuffle.balance:.3f}", "1 when shuffled")
    Console().print(table)
    threads = "1 thread" if report.threads == 1 else f"{report.threads} threads"
    click.echo(f"{count(report.samples)} samples in {report.seconds:.2f} s, {threads}")
