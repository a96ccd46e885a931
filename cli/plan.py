"""``dsets plan NAME``: what it will take to have a dataset prepared, and the commands to run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dsets import prepare
from dsets.prepare import estimate, room
from dsets.prepare.estimate import Estimate

from ._in_force import in_force
from ._job_options import planned
from ._progress import bars
from ._text import count, plain, size, table


@click.command()
@planned
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    name: str,
    out: Path | None,
    pipeline: str | None,
    shard_size: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure for some seconds and say what fetching and preparing NAME will take.

    Download, disk, processor hours, how large the packs are as pixels and as JPEG, which of the two
    this disk favours, and the commands to run. A temporary file is written beside the packs' place
    to measure the disk; nothing remains.
    """
    dataset, slash, split = name.partition("/")
    plan = prepare.plan(
        in_force(dataset),
        splits=[split] if slash else [],
        pipeline=pipeline,
        out=out,
        shard_bytes=shard_size,
    )
    with bars(quiet=quiet) as report:
        found = estimate.measure(plan, progress=report)
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else _text(found))


def _text(found: Estimate) -> str:
    files, tried = found.files, found.trial
    missing = [step.file.name for step in files.missing]
    unknown = sum(step.file.bytes is None for step in files.missing)
    source = "the dataset's own" if tried.own else "generated: the files are not here"
    rows = [
        (
            "download",
            size(files.download_bytes) + (f" and {unknown} of unknown size" if unknown else ""),
            f"{len(files.steps) - len(missing)} of {len(files.steps)} files are here",
        ),
        ("raw files", size(found.raw_file_bytes), "published sizes"),
        ("samples", count(found.samples), "by the manifest"),
        ("packs", size(found.pack_bytes), f"pipeline {found.plan.packs[0].pipeline.name}"),
        (
            "disk",
            size(found.peak_bytes),
            f"at most, while the packs are made; {size(found.free_bytes)} are free there",
        ),
        (
            "tasks",
            count(sum(len(pack.tasks) for pack in found.plan.packs)),
            f"{count(sum(pack.shards for pack in found.plan.packs))} shards",
        ),
        (
            "processor",
            f"{found.cpu_hours:.2g} hours",
            f"measured: {1 / max(tried.cpu_s, 1e-9):,.0f} samples/s a core, of {tried.samples} "
            f"({source}); with all {found.cores} cores {found.cpu_hours / found.cores:.3g} hours",
        ),
    ]
    parts = [table(rows)]
    if found.peak_bytes > found.free_bytes:
        parts.append(_too_small(found))
    if choice := _choice(found):
        parts.append(choice)
    if missing and found.plan.manifest.access != "open":
        parts.append(
            f"Access: {found.plan.manifest.access}. Get {', '.join(map(plain, missing))} from "
            f"{plain(found.plan.manifest.homepage)} first."
        )
    parts.append("Run:\n" + "\n".join(f"  {plain(line)}" for line in found.commands()))
    return "\n\n".join(parts)


def _too_small(found: Estimate) -> str:
    """That the disk cannot take it, and whether small shards are why."""
    why = ""
    for pack in found.plan.packs:
        if sums := room.heavy_bytes(pack):
            why = (
                f" {size(sums)} of it are sums of a mean image, which every shard of "
                f"{pack.split.name} has until that pack is made: take a larger --shard-size."
            )
    return f"This disk is too small: 'dsets prepare' would refuse.{why}"


def _choice(found: Estimate) -> str:
    """Pixels or JPEG, and why."""
    tried, disk = found.trial, found.storage
    if not (tried.raw_bytes and tried.jpeg_bytes and tried.decode_s):
        return ""
    raw, jpeg = (size(found.samples * each) for each in (tried.raw_bytes, tried.jpeg_bytes))
    rows = [("images as", "packs", "an image", "images/s from this disk")]
    rows.append(("pixels", raw, size(tried.raw_bytes), _rate(found.raw_per_s)))
    rows.append(("JPEG, quality 90", jpeg, size(tried.jpeg_bytes), _rate(found.jpeg_per_s)))
    lines = [table(rows)]
    if disk and found.favours:
        how = "past the page cache" if disk.direct else "after asking the system to forget it"
        lines.append(
            f"The disk gave {size(disk.bytes_per_s)}/s (measured: {size(disk.bytes)}, {how}); "
            f"{found.cores} cores decode {found.cores / tried.decode_s:,.0f} JPEGs/s (measured on "
            f"one, times {found.cores}). Pixels need {size(tried.raw_bytes * 10_000)}/s for 10,000 "
            f"images/s."
        )
        form = "pixels" if found.favours == "raw" else "JPEG"
        lines.append(f"This favours {form}. (Assumed: the packs do not fit in memory.)")
    elif any(field.encoded for field in found.plan.manifest.fields):
        lines.append("The disk could not be measured: nothing can be written there.")
    return "\n".join(lines)


def _rate(images: float | None) -> str:
    return "not measured" if images is None else f"{images:,.0f}"
