"""Mend a finished pack: its damaged files are made again, to the very bytes that its index names.

What is made counts only when its sha256 is the index's; nothing else ever takes the place of a
file. Nothing that the pack names is run: see ``dsets.prepare.origin``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dsets.atomic import flush
from dsets.errors import PackError, PrepareError
from dsets.pack import Pack, assembly, index, verification
from dsets.pack.mapping import check_file, open_plain
from dsets.pack.schema import INDEX, MAJOR, MINOR, STATISTICS, Index, Shard
from dsets.prepare import cluster, folder, ledger, local, origin
from dsets.prepare.cluster import Tasks
from dsets.prepare.ledger import Record
from dsets.prepare.planning import PackPlan
from dsets.progress import Event, Progress, ignore

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Repair:
    """What is damaged in a pack, and the plan that made it.

    ``plan`` is None where nothing has to be made from raw files. ``shards`` are those to be made
    again; ``statistics`` says that the file of statistics is to be added up again.
    """

    pack: Path
    index: Index
    plan: PackPlan | None
    shards: tuple[Shard, ...]
    statistics: bool

    @property
    def damaged(self) -> tuple[str, ...]:
        """The names of the files that are not what the index says."""
        return (*(shard.name for shard in self.shards), *([STATISTICS] * self.statistics))

    def as_json(self) -> dict[str, Any]:
        """What ``dsets repair --json`` prints."""
        return {
            "pack": str(self.pack),
            "digest": self.index.digest,
            "damaged": list(self.damaged),
            "samples": sum(shard.samples for shard in self.shards),
        }


def plan(pack: Path, *, pipeline: str | Path | None = None, progress: Progress = ignore) -> Repair:
    """Find the files of a pack that are damaged or gone, and what could make them again.

    Reads every byte of the pack; changes nothing. ``pipeline`` is the ``.py`` file of a pipeline
    that is not installed.

    Raises:
        PackError: the index itself is damaged: without it nothing can be proved.
        PrepareError: the damaged shards cannot be made to the same bytes here: another pipeline,
            manifest, raw file or pixel environment.
        ManifestError, PipelineError: the dataset or the pipeline is not known here.
    """
    place = pack.resolve()
    found = _index(place)
    shards = _damaged(place, found, progress)
    recorded = found.statistics
    statistics = recorded is not None and not _right(
        place / STATISTICS, recorded.bytes, recorded.sha256
    )
    made_by = origin.plan(place, found, pipeline, progress) if shards else None
    if made_by:
        for shard in shards:
            _number(made_by, shard)
    return Repair(place, found, made_by, shards, statistics)


def run(
    repair: Repair,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress = ignore,
) -> Repair:
    """Carry it out; returns what is still damaged when it ends: nothing.

    ``workers`` and ``scheduler`` are those of ``prepare.run``, and change no byte. Each file gets
    its name when its bytes are proved, so an interrupted repair loses nothing and the next one goes
    on.

    Raises:
        PrepareError: a file was made to other bytes, or cannot be written; the cluster failed.
        DataError, PipelineError: of a raw file, of the pipeline.
        UsageError: both ``workers`` and ``scheduler``, or what cannot be meant.
    """
    task = str(repair.pack)
    total = sum(shard.samples for shard in repair.shards)
    tell: Callable[[str], None] = lambda text: progress(Event(task, 0, total, text))  # noqa: E731
    progress(Event(task, 0, total))
    with folder.held(repair.pack, tell):
        if _index(repair.pack).digest != repair.index.digest:
            raise PrepareError("the pack was replaced meanwhile", where=repair.pack)
        if repair.plan:
            root = repair.pack.parent
            local.sweep(root)
            with cluster.tasks(workers, scheduler, root, tell) as tasks:
                _shards(repair, repair.plan, tasks, progress)
        if repair.statistics:
            _statistics(repair)
    progress(Event(task, total, total, finished=True))
    return replace(repair, shards=(), statistics=False)


def _index(pack: Path) -> Index:
    try:
        found = index.read(pack)
        with open_plain(pack / INDEX) as file:
            canonical = file.read() == index.render(found)
    except PackError as error:
        raise PackError(
            error.what,
            where=error.where,
            expected=error.expected,
            got=error.got,
            remedy=error.remedy or _WITHOUT_INDEX,
        ) from error
    # A later minor version may write more than this one knows.
    if not canonical and found.format == (MAJOR, MINOR):
        raise PackError(
            "the index was changed: it is not the bytes that dsets writes for what it says",
            where=pack / INDEX,
            remedy=_WITHOUT_INDEX,
        )
    return found


_WITHOUT_INDEX = (
    "nothing in a pack can be proved without its index: restore index.json from a copy, "
    "or move the pack away and run 'dsets prepare' again"
)


def _damaged(pack: Path, found: Index, progress: Progress) -> tuple[Shard, ...]:
    task = f"reading {pack.name}"
    total = sum(shard.bytes for shard in found.shards)
    done, damaged = 0, []
    for shard in found.shards:
        progress(Event(task, done, total))
        if not _right(pack / shard.name, shard.bytes, shard.sha256):
            damaged.append(shard)
        done += shard.bytes
    progress(Event(task, total, total, finished=True))
    return tuple(damaged)


def _right(path: Path, size: int, sha256: str) -> bool:
    try:
        check_file(path, size)
        with open_plain(path) as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
            return digest.hexdigest() == sha256
    except (PackError, OSError):
        return False


def _number(plan: PackPlan, shard: Shard) -> int:
    """Which of the plan's shards it is, by its name."""
    digits = shard.name.removeprefix("shard-").removesuffix(".h5")
    number = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else -1
    if number not in range(plan.shards) or ledger.shard_path(plan, number).name != shard.name:
        raise PackError(
            "a shard that the pack's plan does not have",
            where=plan.out,
            expected=f"shard-00000.h5 to {ledger.shard_path(plan, plan.shards - 1).name}",
            got=shard.name,
        )
    return number


def _shards(repair: Repair, plan: PackPlan, tasks: Tasks, progress: Progress) -> None:
    task, done = str(repair.pack), 0
    total = sum(shard.samples for shard in repair.shards)
    tell: Callable[[str], None] = lambda text: progress(Event(task, done, total, text))  # noqa: E731
    wanted = {_number(plan, shard): shard for shard in repair.shards}
    with folder.working(plan, tell):
        with folder.writing(plan.part):
            folder.sweep(plan, tell)
        for record in tasks(plan, [[number] for number in wanted]):
            shard = wanted[record.number]
            _replace(repair.pack / shard.name, plan, shard, record)
            done += shard.samples
            progress(Event(task, done, total))
        with suppress(OSError):
            folder.abandon(plan)


def _replace(path: Path, plan: PackPlan, shard: Shard, record: Record) -> None:
    """Give a shard that was made again its place, if it has the very bytes."""
    if record.shard != shard:
        raise PrepareError(
            "the shard was made again, but to other bytes",
            where=path,
            expected=f"sha256 {shard.sha256}",
            got=record.shard.sha256 if record.shard else "no sample",
            remedy="the file was not replaced; is the raw file right ('dsets verify'), and was "
            "the pack made by the same versions?",
        )
    with folder.writing(path):
        os.replace(ledger.shard_path(plan, record.number), path)
        flush(path.parent)


def _statistics(repair: Repair) -> None:
    """Add the statistics up again from the shards, which are right by now."""
    recorded = repair.index.statistics
    if recorded is None:
        return
    shards_only = Pack(repair.pack, replace(repair.index, statistics=None))
    counted = verification.recount(shards_only, recorded.field)
    if counted.digest != recorded.digest:
        raise PrepareError(
            "the statistics of the pixels are not those that the index names",
            where=repair.pack / STATISTICS,
            expected=recorded.digest,
            got=counted.digest,
            remedy="the index is wrong: make the pack again with 'dsets prepare --force'",
        )
    with folder.writing(repair.pack / STATISTICS):
        written = assembly.write_statistics(repair.pack, counted)
    if written != recorded:
        raise PrepareError(
            "the statistics are right, but their file has other bytes than the index names",
            where=repair.pack / STATISTICS,
            expected=f"sha256 {recorded.sha256}",
            got=written.sha256,
            remedy="another version of HDF5 wrote it: repair it where the pack was made",
        )
