"""The links in the middle: what read and changed the samples, and the pack that holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsets import manifest, pipeline
from dsets.errors import ManifestError, PackError, PipelineError
from dsets.pack import index
from dsets.pack.schema import INDEX, Index
from dsets.provenance import archive
from dsets.provenance.link import Check, Link, compared, table, text


def recorded(found: Index, path: Path) -> dict[str, Any]:
    """What a checkpoint keeps of a pack: where it lies, what it is, where it comes from."""
    return {
        "path": str(path),
        "split": found.split,
        "digest": found.digest,
        "samples": found.samples,
        "samples_digest": found.samples_digest,
        "quarantined": len(found.quarantine),
        "statistics_of": found.statistics_of,
        "provenance": dict(found.provenance),
    }


def links(told: dict[str, Any], looked_at: Path | None = None) -> list[Link]:
    """Archive, preparation and pack, from what ``recorded`` gave.

    The pack is looked for at the recorded path, or at ``looked_at``.
    """
    provenance = table(told.get("provenance"))
    pack = _pack(told, provenance, looked_at)
    if not provenance:
        return [pack]
    return [archive.link(provenance), _preparation(provenance), pack]


def _preparation(provenance: dict[str, Any]) -> Link:
    recipe = table(provenance.get("pipeline"))
    name, sha256 = text(recipe.get("name")), text(recipe.get("sha256"))
    facts = {
        "reader": text(provenance.get("reader")),
        "pipeline": {"name": name, "sha256": sha256},
        "environment": {
            key: str(value) for key, value in table(provenance.get("environment")).items()
        },
        "samples_per_shard": provenance.get("samples_per_shard"),
        "plan": text(provenance.get("plan")),
        "recipe": text(provenance.get("recipe")),
    }
    what = f"pipeline {name}"
    # Never a path: what a stranger wrote leads to no file.
    if name not in pipeline.names():
        check = Check(what, "absent", "not installed here; only its sha256 is known")
    else:
        try:
            check = compared(what, sha256, pipeline.source_sha256(name))
        except PipelineError as error:
            check = Check(what, "absent", error.what)
    return Link("preparation", name, facts, (check,))


def _pack(told: dict[str, Any], provenance: dict[str, Any], looked_at: Path | None) -> Link:
    split, digest = text(told.get("split")), text(told.get("digest"))
    facts = {
        name: told.get(name) for name in ("digest", "samples", "samples_digest", "quarantined")
    }
    facts["share"] = _share(provenance, split, told)
    if told.get("statistics_of"):
        facts["statistics_of"] = text(told["statistics_of"])
    if not provenance:
        facts["provenance"] = "none recorded: it was not made by dsets prepare"
    path = looked_at or Path(text(told.get("path")))
    facts["path"] = str(path)
    return Link("pack", split, facts, (_look(path, split, digest),))


def _look(path: Path, split: str, digest: str) -> Check:
    what = f"pack {split}"
    try:
        found = index.read(path)
    except (PackError, OSError, ValueError) as error:
        told = error.what if isinstance(error, PackError) else str(error)
        absent = not path.joinpath(INDEX).exists()
        return Check(what, "absent" if absent else "broken", f"{path}: {told}; known by its digest")
    if found.digest != digest:
        return Check(what, "changed", f"another one at {path}: {found.digest}")
    return Check(what, "holds", f"the same at {path}; dsets verify reads its shards")


def _share(provenance: dict[str, Any], split: str, told: dict[str, Any]) -> str:
    """Whether the pack is the whole split, as provenance and manifest count it."""
    part = table(provenance.get("subset"))
    if part:
        return f"a subset: of {part.get('files')} of the split's {part.get('of_files')} files"
    dataset, digest = text(provenance.get("dataset")), text(provenance.get("manifest"))
    try:
        found = manifest.current(dataset)
        official = found if found.digest == digest else manifest.find(dataset)
    except ManifestError:
        return "unknown: its manifest is not here"
    wanted = next((one.samples for one in official.splits if one.name == split), None)
    held = (told.get("samples"), told.get("quarantined"))
    if official.digest != digest or wanted is None or not all(type(count) is int for count in held):
        return "unknown: its manifest is not here"
    samples = sum(count for count in held if isinstance(count, int))
    if not wanted:
        return f"the whole split, as counted: {samples} samples, {held[1]} of them in quarantine"
    whole = "the whole split" if samples == wanted else "a subset"
    return f"{whole}: {samples} of {wanted} samples, {held[1]} of them in quarantine"
