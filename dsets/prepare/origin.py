"""Where a finished pack came from: the plan that made it, if it can be carried out here again.

What a pack says of itself is read as a stranger's word. It may name a dataset and a pipeline that
are known here, by name; it never leads to a file, and none of its code runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dsets import fetch, manifest
from dsets import pipeline as pipelines
from dsets.errors import PackError, PrepareError
from dsets.pack.schema import Index
from dsets.pipeline import Pipeline
from dsets.prepare import ledger, planning
from dsets.prepare.planning import PackPlan
from dsets.progress import Progress


def plan(pack: Path, found: Index, pipeline: str | Path | None, progress: Progress) -> PackPlan:
    """The plan that a pack was made by, to be worked on beside it.

    Raises:
        PackError: its provenance is not one that ``dsets prepare`` writes.
        PrepareError: it would give other bytes here: another pipeline, manifest, raw file or pixel
            environment.
        ManifestError, PipelineError: the dataset or the pipeline is not known here.
    """
    made = Provenance(pack, found.provenance)
    dataset = manifest.current(made.text("dataset"))
    recipe = _pipeline(pack, made.table("pipeline"), pipeline)
    (planned,) = planning.plan(
        dataset, splits=[found.split], pipeline=recipe.origin, out=pack.parent
    ).packs
    count = made.values.get("samples_per_shard")
    if type(count) is not int or count < 1:
        raise made.wrong("samples_per_shard", "a positive number", count)
    made_by = replace(
        planned,
        pipeline=recipe,
        samples_per_shard=count,
        out=pack.with_name(f"{pack.name}.repair"),
    )
    if made_by.digest != made.text("plan"):
        raise PrepareError(
            "the manifest of today would make another pack: its files, reader or fields differ",
            where=pack,
            expected=f"plan {made.text('plan')[:16]}… (manifest {made.text('manifest')[:16]}…)",
            got=f"{made_by.digest[:16]}… (manifest {dataset.digest[:16]}…)",
            remedy=f"put the manifest it was made with into $DSETS_MANIFESTS, or run "
            f"'dsets prepare {dataset.name}/{found.split} --force'",
        )
    _check_environment(pack, made.table("environment").values, ledger.environment(made_by))
    _check_raw(pack, made_by, made.table("raw").values, progress)
    return made_by


def _pipeline(pack: Path, made: Provenance, given: str | Path | None) -> Pipeline:
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


@dataclass(frozen=True, slots=True)
class Provenance:
    """A table that a stranger may have written, read key by key."""

    pack: Path
    values: Any

    def text(self, key: str) -> str:
        """The text under a key. Raises PackError."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.wrong(key, "text", value)
        return value

    def table(self, key: str) -> Provenance:
        """The table under a key. Raises PackError."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "a table", value)
        return Provenance(self.pack, value)

    def wrong(self, key: str, expected: str, got: object) -> PackError:
        """The error about a key's value."""
        return PackError(
            f"the provenance has no good {key}; it was not made by dsets prepare",
            where=self.pack,
            expected=expected,
            got=f"{got!a:.60}",
        )
