"""Decide: which samples go into which shard of which pack, and where the packs will lie.

A plan is a pure function of the manifest, the pipeline and the shard size. Nothing of a run (how
many workers, which machine, how large the encoded images turn out) has a part in it, and all that
decides a pack's bytes is in its digest. That is what makes a job resumable and its packs equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dsets import pipeline as pipelines
from dsets import readers, store
from dsets.errors import PrepareError, UsageError
from dsets.field import Field
from dsets.manifest import Manifest, Source, Split
from dsets.manifest.schema import Options
from dsets.pack import digests
from dsets.pack.schema import field_table
from dsets.pipeline import Pipeline

SHARD_BYTES = 256 << 20
#: A scheduler keeps something of every task that it has not forgotten; so do people who watch it.
MOST_TASKS = 4096
#: What a sample costs beside its fields: the key, its offset and hash, and a CRC-32C a field.
_KEY_BYTES = 32
_CRC_BYTES = 4
#: Statistics are of integers of 64 bits; this many, for three channels, are no mean image's.
_SUM_BYTES = 8
_OTHER_SUMS = 14
#: What a shard costs beside its samples: HDF5's own structure and 4096-byte alignment.
_SHARD_OVERHEAD_BYTES = 112 << 10
#: What a pipeline's environment says of its resize profile.
_PROFILE = ("profile", "filter", "scaling")


@dataclass(frozen=True, slots=True)
class PackPlan:
    """One pack: the samples of ``source`` through ``pipeline`` into the folder ``out``.

    Small and picklable: a Dask task carries it whole, with the number of its shard.
    """

    source: Source
    pipeline: Pipeline
    fields: tuple[Field, ...]
    samples_per_shard: int
    out: Path

    @property
    def split(self) -> Split:
        return self.source.split

    @property
    def statistics(self) -> str | None:
        """The image field that statistics are computed over: the training pack's only."""
        return self.pipeline.statistics if self.split.training else None

    @property
    def encoded(self) -> int | None:
        """The place among the fields of an image that is stored encoded, but has statistics."""
        places = {field.name: place for place, field in enumerate(self.fields) if field.encoded}
        return places.get(self.pipeline.statistics or "")

    @property
    def shards(self) -> int:
        return math.ceil(self.split.samples / self.samples_per_shard)

    @property
    def tasks(self) -> tuple[range, ...]:
        """The shards that each task makes: one, unless that were too many tasks."""
        each = math.ceil(self.shards / MOST_TASKS)
        starts = range(0, self.shards, each)
        return tuple(range(start, min(start + each, self.shards)) for start in starts)

    def rows(self, number: int) -> range:
        """The rows of the reader's table that shard ``number`` holds."""
        start = number * self.samples_per_shard
        return range(start, min(start + self.samples_per_shard, self.split.samples))

    @property
    def part(self) -> Path:
        """The work folder; it becomes ``out`` by a rename when everything in it is right."""
        return self.out.with_name(f"{self.out.name}.part")

    @property
    def need_bytes(self) -> int:
        """About how much disk the pack will take. (To make it takes more: ``room.peak_bytes``.)"""
        samples = self.split.samples * _sample_bytes(self.pipeline, self.fields, self.source)
        return samples + self.shards * _SHARD_OVERHEAD_BYTES + self.sums_bytes

    @property
    def sums_bytes(self) -> int:
        """About what integer sums take: those of the pack, and while it is made each shard's."""
        fields = {field.name: field for field in self.fields}
        if self.statistics is None:
            return 0
        shape = self.pipeline.decoded_shape or fields[self.statistics].shape
        of_one_size = len(shape) == 3 and None not in shape  # else there is no mean image
        values = math.prod(size or 1 for size in shape) if of_one_size else 0
        return _SUM_BYTES * (values + _OTHER_SUMS)

    @property
    def recipe(self) -> str:
        """The digest of what the samples of the pack come from, however they are sharded."""
        return digests.digest(self._contents())

    @property
    def digest(self) -> str:
        """The digest of everything that decides the pack's bytes."""
        return digests.digest({**self._contents(), "samples_per_shard": self.samples_per_shard})

    def _contents(self) -> dict[str, Any]:
        # Addresses, titles and licences are left out: editing a mirror makes no other pack.
        manifest, split = self.source.manifest, self.split
        # A profile's rule is the same on any machine, and its name may outlive it; what else is in
        # the environment may differ between machines that share a plan.
        environment = self.pipeline.environment()
        profile = [environment[name] for name in _PROFILE if name in environment]
        return {
            "dataset": manifest.name,
            "split": split.name,
            "training": split.training,
            "samples": split.samples,
            "reader": [manifest.reader, Options(split.options).plain()],
            "files": [[name, *_figures(manifest, name)] for name in split.files],
            "pipeline": [self.pipeline.name, self.pipeline.sha256],
            "fields": [field_table(field) for field in self.fields],
            **({"withheld": list(split.withheld)} if split.withheld else {}),
            **({"profile": profile} if profile else {}),
        }

    def as_json(self) -> dict[str, Any]:
        """What ``--dry-run --json`` prints."""
        return {
            **self._contents(),
            "pipeline": {"name": self.pipeline.name, "sha256": self.pipeline.sha256},
            "statistics": self.statistics,
            "samples_per_shard": self.samples_per_shard,
            "shards": self.shards,
            "need_bytes": self.need_bytes,
            "out": str(self.out),
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """The packs to make, the training one first, since the others name its digest.

    ``shard_bytes`` is what was asked for; what came of it is each pack's ``samples_per_shard``.
    """

    manifest: Manifest
    packs: tuple[PackPlan, ...]
    shard_bytes: int = SHARD_BYTES

    @property
    def need_bytes(self) -> int:
        return sum(pack.need_bytes for pack in self.packs)

    def as_json(self) -> dict[str, Any]:
        return {
            "dataset": self.manifest.name,
            "manifest": self.manifest.digest,
            "need_bytes": self.need_bytes,
            "packs": [pack.as_json() for pack in self.packs],
        }


def plan(
    manifest: Manifest,
    *,
    splits: Sequence[str] = (),
    pipeline: str | Path | None = None,
    out: Path | None = None,
    raw: Path | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Plan:
    """Plan one pack a split. Reads no data, changes nothing.

    When no split is named, it is all of them; but of a dataset that nobody may just download, those
    whose files, or packs, are here, if any are: few who have ImageNet have its test split.

    ``pipeline`` is a name or a path, the manifest's default if None; ``out`` the folder that will
    hold one folder a split, in the store if None; ``raw`` the folder of the raw files, likewise.

    Raises:
        ManifestError: no such split, or the reader cannot follow the manifest.
        PipelineError: the pipeline breaks its contract.
        UsageError: ``shard_bytes`` is not positive, or the dataset is only in the catalogue.
        PrepareError: a split's samples are counted in its files, which are not here.
    """
    if shard_bytes < 1:
        raise UsageError("bad shard size", expected="at least 1 byte", got=shard_bytes)
    if manifest.catalogue is not None:
        raise UsageError(
            "only described: no reader reads it",
            where=manifest.name,
            got=manifest.catalogue.status,
            remedy=f"'dsets show {manifest.name}' says what is known of it",
        )
    recipe = pipelines.load(manifest.pipeline if pipeline is None else pipeline)
    fields = recipe.fields(manifest)
    root = (store.raw(manifest.name) if raw is None else raw).absolute()
    folder = (store.packs(manifest.name, recipe.name) if out is None else out).absolute()
    names = splits or [split.name for split in _available(manifest, root, folder)]
    chosen = {split.name: _counted(manifest, split, root) for split in map(manifest.split, names)}
    made = Plan(
        manifest,
        tuple(
            PackPlan(
                Source(manifest, split, root),
                recipe,
                fields,
                _samples_per_shard(
                    split.samples,
                    _sample_bytes(recipe, fields, Source(manifest, split, root)),
                    shard_bytes,
                ),
                folder / split.name,
            )
            for split in sorted(chosen.values(), key=lambda split: not split.training)
        ),
        shard_bytes,
    )
    for one in made.packs:
        readers.load(manifest.reader).check(one.source)
    return made


def _available(manifest: Manifest, raw: Path, folder: Path) -> Sequence[Split]:
    here = [
        split
        for split in manifest.splits
        if (folder / split.name).exists() or all((raw / name).exists() for name in split.files)
    ]
    if here and manifest.access != "open":
        return [split for split in here if not split.on_request] or here
    return manifest.default_splits


def _counted(manifest: Manifest, split: Split, root: Path) -> Split:
    """The split with how many samples it has, where only its files say that."""
    if split.samples:
        return split
    source, where = Source(manifest, split, root), f"{manifest.name}/{split.name}"
    if missing := [name for name in split.files if not source.path(name).exists()]:
        raise PrepareError(
            "nobody publishes how many samples this split has, and the files to count them in are "
            "not here",
            where=where,
            got=f"no {', '.join(missing)}",
            remedy=f"run 'dsets fetch {where}'",
        )
    if not (samples := len(readers.load(manifest.reader).table(source))):
        raise PrepareError("no samples in these files", where=where)
    return replace(split, samples=samples)


def _sample_bytes(recipe: Pipeline, fields: Sequence[Field], source: Source) -> int:
    """About what one sample takes in a shard.

    Fixed sizes count exactly. Fields of varying size count together as what the pipeline says; if
    it says nothing, as the split's mean raw bytes a sample, from the manifest's figures: a JPEG
    passed through is about that.
    """
    total = _KEY_BYTES + _CRC_BYTES * (1 + len(fields))
    total += sum(_fixed_bytes(field) for field in fields if field.fixed)
    if all(field.fixed for field in fields):
        return total
    return total + (recipe.varying_bytes or _mean_raw_bytes(source.manifest, source.split))


def _mean_raw_bytes(manifest: Manifest, split: Split) -> int:
    files = [manifest.file(name) for name in split.files]
    raw_bytes = sum(file.listed_bytes or file.bytes or 0 for file in files)
    return max(1, raw_bytes // max(1, split.samples))


def _fixed_bytes(field: Field) -> int:
    import numpy as np

    return np.dtype(field.dtype).itemsize * math.prod(size or 1 for size in field.shape)


def _samples_per_shard(samples: int, each_bytes: int, shard_bytes: int) -> int:
    # As many shards as the size asks for, then filled evenly: no tiny last one.
    shards = math.ceil(samples / max(1, shard_bytes // each_bytes))
    return math.ceil(samples / shards)


def _figures(manifest: Manifest, name: str) -> tuple[int | None, str | None]:
    file = manifest.file(name)
    return file.bytes, ":".join(file.digest) if file.digest else None
