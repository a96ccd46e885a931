"""``dsets prepare NAME``: raw files → packs, one a split."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dsets import manifest, prepare
from dsets.pack import Index

from ._in_force import in_force
from ._job_options import MaxBad, planned, where_to_run
from ._pack_text import quarantine_text
from ._prepare_events import events, failures
from ._progress import bars
from ._text import count, plain, size, table


@click.command()
@planned
@click.option(
    "--split", "splits", multiple=True, metavar="SPLIT", help="Only this split. May be repeated."
)
@where_to_run
@click.option(
    "--max-bad",
    type=MaxBad(),
    default=prepare.Limit(),
    metavar="N|P%",
    help="Stop when more samples of a split are bad.  [default: never]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--force", is_flag=True, help="Make packs again, replacing those of another plan.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one event a line.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    name: str,
    splits: tuple[str, ...],
    out: Path | None,
    pipeline: str | None,
    shard_size: int,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **running: Any,
) -> None:
    """Make packs of a dataset's raw files, the training split first.

    NAME is a dataset, or DATASET/SPLIT for one of its splits; splits that a dataset has on request
    are made when they are named. An interrupted job goes on from its
    finished shards when the same command is given again. The packs are the same, byte for byte,
    for any number of workers. A bad sample is left out and listed; see --max-bad.

    With --json each line on stdout is an event: plan, progress, shard, quarantined. The last one is
    done, which says what was made, or error, which says why not.
    """
    with failures() if as_json and not dry_run else nullcontext():
        dataset, slash, split = name.partition("/")
        found = in_force(dataset)
        named = [*([split] if slash else []), *splits]
        plan = prepare.plan(
            found,
            splits=named,
            pipeline=pipeline,
            out=out,
            shard_bytes=shard_size,
        )
        planned = {one.split.name for one in plan.packs}
        left = [one.name for one in found.default_splits if not named and one.name not in planned]
        if left:
            click.echo(f"dsets: note: left out, no files here: {', '.join(left)}", err=True)
        if unnamed := manifest.unnamed(found):
            click.echo(plain(f"dsets: warning: {unnamed}"), err=True)
        if dry_run:
            for one in plan.packs:
                prepare.check_index(one, plan.shard_bytes)
            click.echo(json.dumps(_plan_data(plan), indent=2) if as_json else _plan_text(plan))
            return
        before = [prepare.state(one) for one in plan.packs]
        if as_json:
            click.echo(json.dumps({"event": "plan", **_plan_data(plan)}))
        tasks = [f"{dataset}/{one.split.name}" for one in plan.packs]
        with events(tasks, quiet=quiet) if as_json else bars("samples", quiet=quiet) as report:
            # workers, scheduler, force, max_bad: as prepare.run takes them
            made = prepare.run(plan, progress=report, **running)
        packs = [
            _pack_data(one, index, was_here=state == "finished" and not running["force"])
            for one, index, state in zip(plan.packs, made, before, strict=True)
        ]
        if as_json:
            click.echo(json.dumps({"event": "done", "packs": packs}))
        else:
            click.echo(_packs_text(packs))


def _plan_data(plan: prepare.Plan) -> dict[str, Any]:
    packs = [{**one.as_json(), "state": prepare.state(one)} for one in plan.packs]
    return {**plan.as_json(), "peak_bytes": prepare.peak_bytes(plan.packs), "packs": packs}


def _plan_text(plan: prepare.Plan) -> str:
    rows = [("split", "samples", "shards", "samples a shard", "disk", "now", "folder")]
    for one in plan.packs:
        rows.append(
            (
                one.split.name,
                count(one.split.samples),
                count(one.shards),
                count(one.samples_per_shard),
                size(one.need_bytes),
                _STATES[prepare.state(one)],
                str(one.out),
            )
        )
    recipe = plan.packs[0].pipeline
    fields = "".join(f"\n  {field}" for field in plan.packs[0].fields)
    first = f"pipeline {recipe.name}, sha256 {recipe.sha256[:16]}…{fields}"
    return f"{first}\n\n{table(rows)}\n{_disk(plan)}"


def _disk(plan: prepare.Plan) -> str:
    """What making takes, of which a part is for sums that go when a pack is finished."""
    return f"at most {size(prepare.peak_bytes(plan.packs))} of disk while they are made"


_STATES = {
    "finished": "already there",
    "started": "begun, to go on",
    "new": "to make",
    "other": "in the way (--force)",
}


def _pack_data(plan: prepare.PackPlan, index: Index, *, was_here: bool) -> dict[str, Any]:
    return {
        "split": index.split,
        "path": str(plan.out),
        "samples": index.samples,
        "bad": len(index.quarantine),
        "quarantine": [asdict(bad) for bad in index.quarantine],
        "shards": len(index.shards),
        "bytes": sum(shard.bytes for shard in index.shards),
        "digest": index.digest,
        "was_here": was_here,
    }


def _packs_text(packs: list[dict[str, Any]]) -> str:
    rows = [("split", "samples", "bad", "shards", "size", "digest", "", "folder")]
    for one in packs:
        rows.append(
            (
                one["split"],
                count(one["samples"]),
                count(one["bad"]),
                count(one["shards"]),
                size(one["bytes"]),
                f"{one['digest'][:16]}…",
                "already there" if one["was_here"] else "made",
                one["path"],
            )
        )
    parts = [table(rows)]
    for one in packs:
        if one["bad"]:
            parts.append(f"quarantine of {one['split']}:\n{quarantine_text(one['quarantine'])}")
    return "\n\n".join(parts)
