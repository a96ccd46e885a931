"""Carry a plan out: run the tasks, merge what they found, finish each pack, give it its name.

Of two jobs on one pack the second waits and then finds it done. Whatever stops a job (an error,
Ctrl-C, kill -9, a full disk) leaves the finished shards in the work folder; the same plan goes on
from them, to the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial, reduce
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from dsets import fetch, pack, readers
from dsets.errors import DataError, PrepareError
from dsets.manifest import File, Manifest
from dsets.pack import index
from dsets.pack.digests import samples_digest
from dsets.pack.schema import Index, Quarantined
from dsets.pack.statistics import Statistics
from dsets.prepare import cluster, folder, keys, ledger, local, room
from dsets.prepare.cluster import Tasks
from dsets.prepare.events import ShardEvent
from dsets.prepare.ledger import Record
from dsets.prepare.limit import ANY, Limit
from dsets.prepare.planning import PackPlan, Plan
from dsets.progress import Event, Progress, ignore

_NAMED = 20  # missing files that an error names


def run(
    plan: Plan,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    force: bool = False,
    max_bad: Limit = ANY,
    progress: Progress = ignore,
) -> tuple[Index, ...]:
    """Make the packs of a plan that are not there yet; the indices of all, in the plan's order.

    The bytes do not depend on ``workers`` (processes on this machine; None: this one) or
    ``scheduler`` (the address of a Dask cluster that shares the file system). ``force`` makes a
    pack again, replacing one that another plan made. ``max_bad`` stops a job that meets more bad
    samples than that in a split; it refuses a finished pack that has more, too. ``progress`` gets
    a ``ShardEvent`` for each shard.

    Raises:
        PrepareError: raw files are missing, the disk is too small, another plan's pack is in the
            way, too many samples are bad, or the cluster failed.
        UsageError: the shards are so small that no index could name all of them.
        DataError, PipelineError: of a raw file, of the pipeline.
    """
    folder.check(plan.packs, force=force)
    root = plan.packs[0].out.parent
    local.sweep(root)
    todo = [one for one in plan.packs if force or folder.state(one) != "finished"]
    with ExitStack() as stack:
        if todo:
            raw = _raw_files(plan, todo, progress)
            _check_place(root)
            for one in todo:
                room.check_index(one, plan.shard_bytes)
            room.check_disk(todo)
            tell = _teller(plan.manifest.name, progress)
            tasks = stack.enter_context(cluster.tasks(workers, scheduler, root, tell))
        for one in todo:
            _make(
                one,
                partial(_records, tasks=tasks, max_bad=max_bad, progress=progress),
                raw,
                force=force,
                progress=progress,
            )
        for one in plan.packs:
            folder.tidy(one, _teller(_task(one), progress))
        made = tuple(_linked(one) for one in plan.packs)
    for one, found in zip(plan.packs, made, strict=True):
        max_bad.check(_task(one), found.quarantine, one.split.samples)
    return made


def _make(
    plan: PackPlan,
    records: Callable[[PackPlan], list[Record]],
    raw: Mapping[str, str],
    *,
    force: bool,
    progress: Progress,
) -> None:
    tell = _teller(_task(plan), progress)
    with folder.working(plan, tell):
        with folder.leaving(plan.part):
            folder.check([plan], force=force)  # another job may have put its pack there meanwhile
        if folder.state(plan) == "finished" and not force:
            folder.abandon(plan)  # another process made it while we waited
            return
        with folder.writing(plan.part):
            folder.sweep(plan, tell)
        if not folder.assembled(plan):
            keys.check(plan, plan.part)
            none = set(readers.empty(plan.source))
            if empty := [field.name for field in plan.fields if field.name in none]:
                tell(f"{', '.join(empty)}: empty, this split has no such annotations")
            for remark in readers.remarks(plan.source):
                tell(remark)
            found = records(plan)
            with folder.writing(plan.part):
                _assemble(plan, found, raw)
        with folder.writing(plan.out):
            folder.publish(plan)


def _records(plan: PackPlan, *, tasks: Tasks, max_bad: Limit, progress: Progress) -> list[Record]:
    """The records of all shards, in order, telling of each as it is finished."""
    total = plan.split.samples
    kept = ledger.begun(plan)
    done = sum(len(plan.rows(number)) for number in kept)
    progress(Event(_task(plan), done, total))
    records: list[Record] = []
    bad: list[Quarantined] = []
    mine = ledger.environment(plan)
    for record in tasks(plan, plan.tasks):
        if record.environment != mine:
            raise PrepareError(
                "a worker has other versions than this process",
                where=_task(plan),
                expected=mine,
                got=record.environment,
                remedy="install the same versions everywhere",
            )
        records.append(record)
        bad += record.quarantine
        done += len(plan.rows(record.number)) if record.number not in kept else 0
        progress(
            ShardEvent(
                _task(plan),
                done,
                total,
                f"{len(bad)} bad so far" if record.quarantine else "",
                finished=len(records) == plan.shards,
                number=record.number,
                shard=record.shard,
                quarantine=record.quarantine,
                bad=len(bad),
                kept=record.number in kept,
            )
        )
        max_bad.check(_task(plan), bad, total)
    return sorted(records, key=lambda record: record.number)


def _assemble(plan: PackPlan, records: Sequence[Record], raw: Mapping[str, str]) -> None:
    """Write statistics and index into the work folder."""
    quarantine = [bad for record in records for bad in record.quarantine]
    shards = [record.shard for record in records if record.shard]
    if not shards:
        raise PrepareError(
            "every sample is bad", where=_task(plan), got=f"first: {quarantine[0].reason}"
        )
    sums = (ledger.statistics(plan, record) for record in records if record.sums)
    pack.finish(
        plan.part,
        split=plan.split.name,
        fields=plan.fields,
        shards=shards,
        statistics=reduce(Statistics.merge, sums) if plan.statistics else None,
        statistics_of=_training_digest(plan),
        quarantine=quarantine,
        samples_digest=samples_digest(_kept(plan, records, {bad.key for bad in quarantine})),
        provenance=_provenance(plan, raw),
    )


def _kept(plan: PackPlan, records: Sequence[Record], out: Set[str]) -> Iterator[str]:
    """The keys that are not ``out``, in order, those of each shard compared with its record.

    Raises:
        DataError: what went into a shard are not the samples that the reader's table lists.
    """
    for record, found in zip(records, keys.by_shard(plan), strict=True):
        there = [key for key in found if key not in out]
        if samples_digest(there) != record.keys:
            rows = plan.rows(record.number)
            raise DataError(
                f"reader {plan.source.manifest.reader} gave other samples than its table lists",
                where=f"{_task(plan)}, rows {rows.start} to {rows.stop}",
            )
        yield from there


def _provenance(plan: PackPlan, raw: Mapping[str, str]) -> dict[str, Any]:
    """Where the pack comes from. Nothing of the run: not when, where, or by how many."""
    manifest = plan.source.manifest
    unverified = manifest.unverified(plan.split)
    terms = fetch.terms.of(manifest)
    return {
        **({"unverified": unverified} if unverified else {}),
        **_part(plan),
        "dataset": manifest.name,
        "manifest": manifest.digest,
        "terms": {**asdict(terms), "sha256": terms.sha256},
        "raw": {name: f"sha256:{raw[name]}" for name in plan.split.files},
        "reader": manifest.reader,
        "pipeline": _pipeline(plan),
        "samples_per_shard": plan.samples_per_shard,
        "recipe": plan.recipe,
        "plan": plan.digest,
        "environment": ledger.environment(plan),
    }


def _part(plan: PackPlan) -> dict[str, Any]:
    """How much of a split of many files the pack has, where that isn't all."""
    split = plan.split
    tables = {name for _, name in plan.source.manifest.class_files}
    files = sum(name not in tables for name in split.files)
    if split.whole_files is None or files >= split.whole_files:
        return {}
    return {"subset": {"files": files, "of_files": split.whole_files}}


def _linked(plan: PackPlan) -> Index:
    """The index of a finished pack, naming the training pack that lies beside it now.

    That one may have been made later, or again. The pack digest does not cover the link, so no
    order or state depends on it.
    """
    mine = index.read(plan.out)
    training = _training_digest(plan)
    if training is None or mine.statistics_of == training:
        return mine
    mine = replace(mine, statistics_of=training)
    index.write(plan.out, mine)
    return mine


def _training_digest(plan: PackPlan) -> str | None:
    """The digest of the training pack of the same dataset and pipeline beside this one, if any."""
    training = plan.source.manifest.training
    if training is None or plan.split.name == training.name:
        return None
    found = folder.made(plan.out.with_name(training.name))
    if found is None:
        return None
    theirs = found.provenance
    same = theirs.get("dataset") == plan.source.manifest.name
    return found.digest if same and theirs.get("pipeline") == _pipeline(plan) else None


def _pipeline(plan: PackPlan) -> dict[str, str]:
    return {"name": plan.pipeline.name, "sha256": plan.pipeline.sha256}


def _raw_files(plan: Plan, todo: Sequence[PackPlan], progress: Progress) -> dict[str, str]:
    """The sha256 of each raw file that is needed, all of them here and found right."""
    names = [name for one in todo for name in one.split.files]
    found = fetch.plan(plan.manifest, todo[0].source.root, files=names, progress=progress)
    if found.missing:
        raise PrepareError(
            "raw files are missing or not what the manifest says",
            where=found.folder,
            got=f"no good {_few([step.file.name for step in found.missing])}",
            remedy=_remedy(plan.manifest, [step.file for step in found.missing]),
        )
    return {step.file.name: step.receipt.digests["sha256"] for step in found.steps if step.receipt}


def _few(names: Sequence[str]) -> str:
    """The names; of very many the first ones."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _remedy(manifest: Manifest, missing: Sequence[File]) -> str:
    if any(file.unverified for file in missing):
        return f"run 'dsets adopt {manifest.name} PATHS --unverified' with where they are now"
    if manifest.access == "open":
        part = (
            " --shards 1/100', or without --shards for all"
            if any(file.family for file in missing)
            else "'"
        )
        return f"run 'dsets fetch {manifest.name}{part}"
    return f"run 'dsets adopt {manifest.name} PATHS' with the folders that have them"


def _check_place(root: Path) -> None:
    """Raise PrepareError when nothing can be written where the packs should lie."""
    there = next(path for path in (root, *root.parents) if path.exists())
    try:
        with TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise PrepareError(
            f"cannot be written: {error.strerror or error}",
            where=there,
            expected="a folder for the packs",
            remedy="choose another --out",
        ) from error


def _task(plan: PackPlan) -> str:
    return f"{plan.source.manifest.name}/{plan.split.name}"


def _teller(task: str, progress: Progress) -> Callable[[str], None]:
    return lambda text: progress(Event(task, 0, None, text))
