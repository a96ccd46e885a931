"""What is finished, on disk: a record beside each shard, trusted only as far as it can be proved.

    <pack>.part/shard-00007.h5      the shard
                shard-00007.npz     its integer sums (training packs)
                shard-00007.json    its record, written last

A record counts when it was written for this very plan in this environment (versions of dsets and
codecs), and when the bytes on disk still have the size and digest that it names. Whatever else lies
there is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dsets.atomic import replacing
from dsets.pack.schema import Extent, Quarantined, Shard
from dsets.pack.statistics import NAMES, Statistics
from dsets.prepare.planning import PackPlan


@dataclass(frozen=True, slots=True)
class Record:
    """One finished shard; small enough to travel through a scheduler.

    ``shard`` is None when every one of its samples is in quarantine. ``keys`` is the samples digest
    of the keys that went in; ``sums`` the sha256 of the file of integer sums, None where there is
    none.
    """

    plan: str
    environment: Mapping[str, str]
    number: int
    shard: Shard | None
    keys: str
    sums: str | None
    quarantine: tuple[Quarantined, ...]


def environment(plan: PackPlan) -> dict[str, str]:
    """What beside the plan decides bytes: the versions of dsets and of the pipeline's codecs.

    Shards of two environments are never mixed in a pack.
    """
    return {"dsets": version("dsets"), **plan.pipeline.environment()}


def shard_path(plan: PackPlan, number: int) -> Path:
    return plan.part / f"shard-{number:05}.h5"


def _record_path(plan: PackPlan, number: int) -> Path:
    return plan.part / f"shard-{number:05}.json"


def _sums_path(plan: PackPlan, number: int) -> Path:
    return plan.part / f"shard-{number:05}.npz"


def write(plan: PackPlan, record: Record, statistics: Statistics | None) -> Record:
    """Enter a shard that is already on disk; returns the record with the digest of its sums."""
    if statistics is not None:
        path = _sums_path(plan, record.number)
        with replacing(path) as part, part.open("wb") as file:
            arrays = dict(zip(NAMES, statistics.arrays(), strict=True))
            np.savez(file, allow_pickle=False, **arrays)
        record = replace(record, sums=_sha256(path))
    with replacing(_record_path(plan, record.number)) as part:
        part.write_text(json.dumps(asdict(record)))
    return record


def begun(plan: PackPlan) -> Set[int]:
    """The shards that have a record, whether or not it will prove true."""
    there = {path.name for path in plan.part.glob("shard-*.json")}
    return {number for number in range(plan.shards) if _record_path(plan, number).name in there}


def finished(plan: PackPlan, number: int) -> Record | None:
    """The record of shard ``number`` if it proves true against the plan and the bytes on disk."""
    try:
        record = _parse(json.loads(_record_path(plan, number).read_bytes()))
        if (record.plan, record.number) != (plan.digest, number):
            return None
        if record.environment != environment(plan):
            return None
        if record.shard is not None and not _is(shard_path(plan, number), record.shard):
            return None
        if record.sums is not None and _sha256(_sums_path(plan, number)) != record.sums:
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # absent, cut short or from another version: the shard is made again
    return record


def statistics(plan: PackPlan, record: Record) -> Statistics:
    """The integer sums of a finished shard."""
    with np.load(_sums_path(plan, record.number), allow_pickle=False) as sums:
        arrays = {name: sums[name] for name in NAMES}
    return Statistics(**arrays, field=plan.statistics or "")


def _is(path: Path, shard: Shard) -> bool:
    return path.stat().st_size == shard.bytes and _sha256(path) == shard.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse(found: Any) -> Record:
    shard = found["shard"]
    return Record(
        plan=found["plan"],
        environment=found["environment"],
        number=found["number"],
        shard=None if shard is None else _shard(shard),
        keys=found["keys"],
        sums=found["sums"],
        quarantine=tuple(Quarantined(**bad) for bad in found["quarantine"]),
    )


def _shard(found: Any) -> Shard:
    datasets = {
        name: Extent(**{**extent, "shape": tuple(extent["shape"])})
        for name, extent in found["datasets"].items()
    }
    return Shard(**{**found, "datasets": datasets})
