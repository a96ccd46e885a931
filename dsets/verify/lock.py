"""Raw files against a lock file, by the digests that ``verify.files`` computed."""

from __future__ import annotations

from pathlib import Path

from dsets.fetch.lockfile import Locked
from dsets.manifest import Manifest
from dsets.verify.report import Check, Report


def locked(files: Report, manifest: Manifest, lock: Locked, path: Path) -> Report:
    """The report, followed by one check of the manifest and one a locked file."""
    found = {check.name: check for check in files.checks}
    same = manifest.digest == lock.manifest
    message = "manifest as locked"
    if not same:
        message = (
            f"manifest {manifest.digest}, locked was {lock.manifest}; "
            f"'dsets fetch {manifest.name} --lock' takes the new one"
        )
    checks = [Check(path.name, same, message, {"expected_manifest": lock.manifest})]
    for name, one in lock.files.items():
        check = found.get(name)
        got = check.details.get("sha256") if check else None
        right = got == one.sha256
        said = "as locked" if right else f"sha256 {got or 'unknown'}, locked is {one.sha256}"
        details = {"expected_sha256": one.sha256, "expected_bytes": one.bytes}
        checks.append(Check(f"{path.name}: {name}", right, said, details))
    return Report(files.subject, (*files.checks, *checks))
