"""Mend a finished pack: its damaged files are made again, to the very bytes that its index names.

A pack is never a source of code: its pipeline must be one that is installed, or a file that the
caller names, and have the source that the pack was made with. What is made counts only when its
sha256 is the index's; nothing else ever takes the place of a file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dsets import fetch, manifest
from dsets import pipeline as pipelines
from dsets.atomic import flush
from dsets.errors import DsetsError, PackError, PrepareError
from dsets.pack import Pack, assembly, index, verification
from dsets.pack.mapping import check_file, open_plain
from dsets.pack.schema import INDEX, STATISTICS, Index, Shard
from dsets.pipeline import Pipeline
from dsets.prepare import folder, ledger, planning
from dsets.prepare.cluster import cores
from dsets.prepare.planning import PackPlan
from dsets.prepare.task import make_shard
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
    place = pack.absolute()
    found = _index(place)
    shards = _damaged(place, found, progress)
    recorded = found.statistics
    statistics = recorded is not None and not _right(
        place / STATISTICS, recorded.bytes, recorded.sha256
    )
    made_by = _plan(place, found, pipeline, progress) if shards else None
    if made_by:
        for shard in shards:
            _number(made_by, shard)
    return Repair(place, found, made_by, shards, statistics)


def run(repair: Repair, *, progress: Progress = ignore) -> Repair:
    """Carry it out; returns what is still damaged when it ends: nothing.

    Each file gets its name when its bytes are proved, so an interrupted repair loses nothing and
    the next one goes on.

    Raises:
        PrepareError: a file was made to other bytes, or cannot be written.
        DataError, PipelineError: of a raw file, of the pipeline.
    """
    task = str(repair.pack)
    total = sum(shard.samples for shard in repair.shards)
    progress(Event(task, 0, total))
    with folder.held(repair.pack, lambda text: progress(Event(task, 0, total, text))):
        if _index(repair.pack).digest != repair.index.digest:
            raise PrepareError("the pack was replaced meanwhile", where=repair.pack)
        if repair.plan:
            _shards(repair, repair.plan, progress)
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
    if not canonical:
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


def _plan(pack: Path, found: Index, pipeline: str | Path | None, progress: Progress) -> PackPlan:
    """The plan that the pack was made by, if it can be carried out here to the same bytes."""
    made = _Provenance(pack, found.provenance)
    dataset = manifest.current(made.text("dataset"))
    recipe = _pipeline(pack, made.table("pipeline"), pipeline)
    (plan,) = planning.plan(
        dataset, splits=[found.split], pipeline=recipe.origin, out=pack.parent
    ).packs
    count = made.values.get("samples_per_shard")
    if type(count) is not int or count < 1:
        raise made.wrong("samples_per_shard", "a positive number", count)
    plan = replace(
        plan,
        pipeline=recipe,
        samples_per_shard=count,
        out=pack.with_name(f"{pack.name}.repair"),
    )
    if plan.digest != made.text("plan"):
        raise PrepareError(
            "the manifest of today would make another pack: its files, reader or fields differ",
            where=pack,
            expected=f"plan {made.text('plan')[:16]}… (manifest {made.text('manifest')[:16]}…)",
            got=f"{plan.digest[:16]}… (manifest {dataset.digest[:16]}…)",
            remedy=f"put the manifest it was made with into $DSETS_MANIFESTS, or run "
            f"'dsets prepare {dataset.name}/{found.split} --force'",
        )
    _check_environment(pack, made.table("environment").values, ledger.environment(plan))
    _check_raw(pack, plan, made.table("raw").values, progress)
    return plan


def _pipeline(pack: Path, made: _Provenance, given: str | Path | None) -> Pipeline:
    """The pack's pipeline, installed or given; recognised by its source before that runs."""
    name, sha256 = made.text("name"), made.text("sha256")
    if given is None and name not in pipelines.names():
        raise PrepareError(
            "the pack was made by a pipeline that is not installed",
            where=pack,
            got=f"{name!a}, sha256 {sha256[:16]}…",
            remedy="give its file with --pipeline",
        )
    wanted = name if given is None else str(given)
    got = pipelines.source_sha256(wanted)
    if got != sha256:
        raise PrepareError(
            "another version of the pipeline made this pack",
            where=wanted,
            expected=f"sha256 {sha256}",
            got=got,
            remedy="give the file that made it with --pipeline",
        )
    return replace(pipelines.load(wanted), name=name)  # a user's file may be called otherwise now


def _check_environment(pack: Path, made: Any, here: dict[str, str]) -> None:
    # A newer dsets may well make the same bytes, and the digest proves it; other codecs may not.
    names = sorted((set(made) | set(here)) - {"dsets"})
    other = [name for name in names if made.get(name) != here.get(name)]
    if other:
        raise PrepareError(
            "another pixel environment made this pack",
            where=pack,
            expected=", ".join(f"{name} {made.get(name)}" for name in other),
            got=", ".join(f"{name} {here.get(name)}" for name in other),
            remedy="repair it where these versions are installed",
        )


def _check_raw(pack: Path, plan: PackPlan, made: Any, progress: Progress) -> None:
    dataset, root = plan.source.manifest, plan.source.root
    found = fetch.plan(dataset, root, files=plan.split.files, progress=progress)
    if found.missing:
        raise PrepareError(
            "raw files that the damaged shards are made from are missing, or not what the "
            "manifest says",
            where=root,
            got=f"no good {', '.join(step.file.name for step in found.missing)}",
            remedy=f"run 'dsets fetch {dataset.name}'",
        )
    for step in found.steps:
        digest = f"sha256:{step.receipt.digests['sha256']}" if step.receipt else None
        if made.get(step.file.name) != digest:
            raise PrepareError(
                f"the pack was made from another {step.file.name}",
                where=pack,
                expected=made.get(step.file.name),
                got=digest,
            )


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


def _shards(repair: Repair, plan: PackPlan, progress: Progress) -> None:
    task, done = str(repair.pack), 0
    total = sum(shard.samples for shard in repair.shards)
    tell: Callable[[str], None] = lambda text: progress(Event(task, done, total, text))  # noqa: E731
    with folder.working(plan, tell):
        with folder.writing(plan.part):
            folder.sweep(plan, tell)
        for shard in repair.shards:
            number = _number(plan, shard)
            made = make_shard(plan, number, cores()).shard
            if made != shard:
                raise PrepareError(
                    "the shard was made again, but to other bytes",
                    where=repair.pack / shard.name,
                    expected=f"sha256 {shard.sha256}",
                    got=made.sha256 if made else "no sample",
                    remedy="nothing was replaced; is the raw file right ('dsets verify'), and was "
                    "the pack made by the same versions?",
                )
            with folder.writing(repair.pack / shard.name):
                os.replace(ledger.shard_path(plan, number), repair.pack / shard.name)
                flush(repair.pack)
            done += shard.samples
            progress(Event(task, done, total))
        with suppress(OSError):
            folder.abandon(plan)


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


@dataclass(frozen=True, slots=True)
class _Provenance:
    """A table that a stranger may have written, read key by key."""

    pack: Path
    values: Any

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.wrong(key, "text", value)
        return value

    def table(self, key: str) -> _Provenance:
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "a table", value)
        return _Provenance(self.pack, value)

    def wrong(self, key: str, expected: str, got: object) -> DsetsError:
        return PackError(
            f"the provenance has no good {key}; it was not made by dsets prepare",
            where=self.pack,
            expected=expected,
            got=f"{got!a:.60}",
        )
