"""The first link: what was published, and the bytes that were taken for it."""

from __future__ import annotations

from typing import Any

from dsets import manifest, store
from dsets.errors import ManifestError
from dsets.fetch import receipts
from dsets.manifest import File, Manifest
from dsets.provenance.link import Check, Link, table, text


def link(provenance: dict[str, Any]) -> Link:
    """The archives that a pack with this provenance was made from."""
    dataset, digest = text(provenance.get("dataset")), text(provenance.get("manifest"))
    recorded = {name: text(value) for name, value in table(provenance.get("raw")).items()}
    unverified = provenance.get("unverified")
    doubtful = set(map(str, unverified)) if isinstance(unverified, list) else set()
    known, check = _manifest(dataset, digest)
    files = [
        _file(name, sha256, name in doubtful, _entry(known, name))
        for name, sha256 in sorted(recorded.items())
    ]
    facts: dict[str, Any] = {"manifest": digest, "files": files}
    if known is not None:
        facts["version"] = f"{known.title}, schema {known.schema}"
    terms = table(provenance.get("terms"))
    facts["terms"] = {
        name: text(terms.get(name)) for name in ("licence", "access", "attribution", "sha256")
    }
    checks = [
        check,
        *(_here(dataset, known, name, value) for name, value in sorted(recorded.items())),
    ]
    broken = [
        Check(file["name"], "broken", f"the manifest publishes another sha256: {file['published']}")
        for file in files
        if file["standing"] == "contradicts the manifest"
    ]
    return Link("archive", dataset, facts, (*checks, *broken))


def _manifest(dataset: str, digest: str) -> tuple[Manifest | None, Check]:
    """The manifest by that name, if it is the very one."""
    what = f"manifest of {dataset}"
    try:
        found = manifest.current(dataset)
        if found.digest != digest:
            found = manifest.find(dataset)
    except ManifestError as error:
        return None, Check(what, "absent", error.what)
    if found.digest != digest:
        return None, Check(what, "changed", f"another one here: {found.digest}")
    return found, Check(what, "holds", "the same here")


def _entry(known: Manifest | None, name: str) -> File | None:
    return next((file for file in known.files if file.name == name), None) if known else None


def _file(name: str, recorded: str, doubtful: bool, entry: File | None) -> dict[str, Any]:
    """What is known of one raw file. ``standing``: who says that these are the right bytes."""
    told: dict[str, Any] = {
        "name": name,
        "digest": recorded,
        "standing": "official when it was prepared",
    }
    if doubtful:
        told["standing"] = "unverified: taken on the word of whoever brought it"
    elif entry is not None:
        told["standing"] = _standing(recorded, entry)
    if entry is not None:
        told["addresses"] = list(entry.addresses)
        if entry.digest:
            told["published"] = ":".join(entry.digest)
    return told


def _standing(recorded: str, entry: File) -> str:
    if entry.unverified:
        return "unverified: taken on the word of whoever brought it"
    if recorded in entry.also:
        return "official: another published issue"
    published = entry.digest
    if published is None:
        return "official: by its address; nobody publishes a digest"
    if published[0] != "sha256":
        return f"official: had the published {published[0]} when it came"
    same = recorded == f"sha256:{published[1].lower()}"
    if not same and not entry.also:
        return "contradicts the manifest"
    return (
        "official: has the published sha256"
        if same
        else "official: had a published digest when it came"
    )


def _here(dataset: str, known: Manifest | None, name: str, recorded: str) -> Check:
    """Whether the raw file is in the store; by its receipt, so that 138 GB need no reading."""
    what = f"raw file {name}"
    if known is None or _entry(known, name) is None:
        return Check(what, "absent", "not looked for, since its manifest is not here")
    path = store.raw(dataset) / name
    if not path.exists():
        return Check(what, "absent", f"not at {path}")
    receipt = receipts.read(path)
    if receipt is None:
        return Check(
            what, "changed", f"at {path}, but not proved since it changed; see dsets verify"
        )
    if f"sha256:{receipt.digests['sha256']}" != recorded:
        return Check(what, "changed", f"another one here: sha256:{receipt.digests['sha256']}")
    return Check(what, "holds", "the same here")
