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
        got, size = (check.details.get(key) if check else None for key in ("sha256", "bytes"))
        right = (got, size) == (one.sha256, one.bytes)
        said = "as locked" if right else f"sha256 {got or 'unknown'}, locked is {one.sha256}"
        if got == one.sha256 and not right:  # which a hand that edited the lock may have done
            said = f"{size} bytes, locked are {one.bytes}"
        details = {"expected_sha256": one.sha256, "expected_bytes": one.bytes}
        checks.append(Check(f"{path.name}: {name}", right, said, details))
    return Report(files.subject, (*files.checks, *checks))
