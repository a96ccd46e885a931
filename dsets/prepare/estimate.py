"""What preparing a dataset will take, before it begins; each figure says whether it was measured.

Raw pixels or JPEG: raw wins where storage gives the pixels faster than the processor can decode.
For 256 x 256 RGB that is about 2 GB/s for every 10,000 images/s.
"""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dsets import fetch, store
from dsets import pipeline as pipelines
from dsets.cores import cores
from dsets.manifest import Manifest
from dsets.prepare import room, storage, trial
from dsets.prepare.planning import SHARD_BYTES, Plan
from dsets.prepare.storage import Storage
from dsets.prepare.trial import Trial
from dsets.progress import Progress, ignore

_JPEG = "_jpeg"


@dataclass(frozen=True, slots=True)
class Estimate:
    """``files`` to bring here, ``trial`` of the pipeline, ``storage`` where the packs will lie.

    ``storage`` is None where it could not be measured, or there is nothing to choose;
    ``free_bytes`` is what that disk can still take.
    """

    plan: Plan
    files: fetch.Plan
    trial: Trial
    storage: Storage | None
    cores: int
    free_bytes: int

    @property
    def samples(self) -> int:
        return sum(pack.split.samples for pack in self.plan.packs)

    @property
    def raw_file_bytes(self) -> int:
        """Of all files that are needed, where their sizes are published or known."""
        files = ((step.file, step.have_bytes) for step in self.files.steps)
        return sum((file.listed_bytes or 0) + (file.bytes or here) for file, here in files)

    @property
    def pack_bytes(self) -> int:
        """Of the packs as planned: exact for fixed sizes, else by the samples that were tried."""
        if all(field.fixed for field in self.plan.packs[0].fields):
            return self.plan.need_bytes
        return round(self.samples * self.trial.stored_bytes)

    @property
    def peak_bytes(self) -> int:
        """Of disk while the packs are made: themselves, and what lies beside them until then."""
        return room.peak_bytes(self.plan.packs) + self.pack_bytes - self.plan.need_bytes

    @property
    def cpu_hours(self) -> float:
        return self.samples * self.trial.cpu_s / 3600

    @property
    def raw_per_s(self) -> float | None:
        """Images/s that the storage gives as pixels."""
        if self.storage is None or not self.trial.raw_bytes:
            return None
        return self.storage.bytes_per_s / self.trial.raw_bytes

    @property
    def jpeg_per_s(self) -> float | None:
        """Images/s as JPEG: what the storage gives, or what all cores decode if that is less."""
        if self.storage is None or not self.trial.jpeg_bytes or not self.trial.decode_s:
            return None
        given = self.storage.bytes_per_s / self.trial.jpeg_bytes
        return min(given, self.cores / self.trial.decode_s)

    @property
    def favours(self) -> Literal["raw", "JPEG"] | None:
        """The form that streams faster from here; None where there is nothing to choose."""
        if self.raw_per_s is None or self.jpeg_per_s is None:
            return None
        return "raw" if self.raw_per_s >= self.jpeg_per_s else "JPEG"

    @property
    def pipeline(self) -> str:
        """The pipeline to prepare with: the other form of the planned one, if that is favoured."""
        origin = self.plan.packs[0].pipeline.origin
        other = {"raw": origin.removesuffix(_JPEG), "JPEG": origin.removesuffix(_JPEG) + _JPEG}
        wanted = other.get(self.favours or "", origin)
        return wanted if wanted in pipelines.names() else origin

    def as_json(self) -> dict[str, Any]:
        """What ``dsets plan --json`` prints."""
        manifest = self.plan.manifest
        return {
            **self.plan.as_json(),
            "files": {
                "needed_bytes": self.raw_file_bytes,
                "here_bytes": sum(step.have_bytes for step in self.files.steps),
                "download_bytes": self.files.download_bytes,
                "missing": [step.file.name for step in self.files.missing],
                "access": manifest.access,
            },
            "samples": self.samples,
            "pack_bytes": self.pack_bytes,
            "peak_bytes": self.peak_bytes,
            "free_bytes": self.free_bytes,
            "raw_pack_bytes": _times(self.samples, self.trial.raw_bytes),
            "jpeg_pack_bytes": _times(self.samples, self.trial.jpeg_bytes),
            "jpeg_quality": trial.QUALITY,
            "cpu_hours": self.cpu_hours,
            "cores": self.cores,
            "measured": {
                "trial": asdict(self.trial),
                "storage": self.storage and asdict(self.storage),
            },
            "raw_images_per_s": self.raw_per_s,
            "jpeg_images_per_s": self.jpeg_per_s,
            "favours": self.favours,
            "commands": list(self.commands()),
        }

    def commands(self) -> tuple[str, ...]:
        """What to run, in order."""
        manifest, packs = self.plan.manifest, self.plan.packs
        name = manifest.name
        if len(packs) == 1 and len(manifest.splits) > 1:
            name += f"/{packs[0].split.name}"
        lines = []
        if self.files.missing:
            lines.append(_bring(manifest))
        option = ""
        if self.pipeline != manifest.pipeline:
            option += f" --pipeline {shlex.quote(self.pipeline)}"
        if (out := packs[0].out.parent) != store.packs(
            manifest.name, packs[0].pipeline.name
        ).absolute():
            option += f" --out {shlex.quote(str(out))}"
        if self.plan.shard_bytes != SHARD_BYTES:
            option += f" --shard-size {self.plan.shard_bytes}"
        lines.append(f"dsets prepare {name}{option}")
        return tuple(lines)


def measure(plan: Plan, *, progress: Progress = ignore) -> Estimate:
    """Measure what the plan will take, in some seconds; leaves nothing behind.

    The samples tried are the dataset's own where the files of the first split are all in the store.

    Raises:
        DataError, PipelineError: of a raw file, of the pipeline.
        UsageError: the shards are so small that no index could name all of them.
    """
    for one in plan.packs:
        room.check_index(one, plan.shard_bytes)
    first = plan.packs[0]
    names = [name for one in plan.packs for name in one.split.files]
    files = fetch.plan(plan.manifest, first.source.root, files=names, progress=progress)
    missing = {step.file.name for step in files.missing}
    tried = trial.run(first, own=not missing & set(first.split.files))
    choice = tried.jpeg_bytes is not None and any(field.encoded for field in plan.manifest.fields)
    measured = storage.measure(first.out.parent) if choice else None
    free = room.free_bytes(first.out.parent)
    return Estimate(plan, files, tried, measured, cores(), free)


def _bring(manifest: Manifest) -> str:
    if manifest.access == "open":
        return f"dsets fetch {manifest.name}"
    return f"dsets adopt {manifest.name} FOLDER"


def _times(samples: int, each: float | None) -> int | None:
    return None if each is None else round(samples * each)
