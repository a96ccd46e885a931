"""Raw files against their manifest: sizes and every published digest, read from the disk anew."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dsets.errors import DataError
from dsets.fetch import receipts
from dsets.fetch.hashing import digests
from dsets.manifest import File, Manifest
from dsets.progress import Event, Progress, ignore
from dsets.readers import _listing
from dsets.verify.report import Check, Report


def files(manifest: Manifest, folder: Path, *, progress: Progress = ignore) -> Report:
    """One check a file of the manifest. Receipts are not believed: every byte is hashed.

    Nothing is changed but this: where a file is found to be wrong, its receipt goes, so that the
    next fetch replaces the file.

    A file for which nothing is published is compared with the sha256 that was found when it was
    fetched, where a receipt remembers it.
    """
    present = [path for path in (folder / file.name for file in manifest.files) if path.is_file()]
    for path in present:
        progress(Event(path.name, 0, path.stat().st_size))
    checks = (_check(manifest, file, folder / file.name, progress) for file in manifest.files)
    return Report(manifest.name, tuple(checks))


def _check(manifest: Manifest, file: File, path: Path, progress: Progress) -> Check:
    if not path.is_file():
        needed = any(file.name in split.files for split in manifest.splits)
        if manifest.access != "open" and not needed:
            message = "not here, and no split needs it"
            return Check(file.name, True, message, {"path": str(path)})
        if file.name not in manifest.default_files:
            message = "not here, and fetched only by its split or part"
            return Check(file.name, True, message, {"path": str(path)})
        adopted = any(one.unverified for one in manifest.files) and not file.unverified
        if adopted and receipts.remembered(path) is None:
            fetched = f"; 'dsets fetch {manifest.name}' brings it" * (manifest.access == "open")
            message = f"not here: others were adopted in its place{fetched}"
            return Check(file.name, True, message, {"path": str(path)})
        return Check(file.name, False, "missing", {"path": str(path)})
    size = path.stat().st_size
    details: dict[str, object] = {"path": str(path), "bytes": size}
    if wrong := receipts.mismatch(file, size, {}):  # no digest is worth computing
        progress(Event(path.name, size, size, finished=True))
        return Check(file.name, False, wrong, details | {"expected_bytes": file.bytes})
    try:
        computed = digests(
            path,
            receipts.algorithms(file),
            lambda done: progress(Event(path.name, done, size)),
        )
    except OSError as error:
        return Check(file.name, False, f"cannot be read: {error.strerror}", details)
    progress(Event(path.name, size, size, finished=True))
    details |= computed
    published = receipts.published(file)
    if wrong := receipts.mismatch(file, size, computed):
        receipts.forget(path)
        expected = {f"expected_{name}": value for name, value in published.items()}
        return Check(file.name, False, wrong, details | expected)
    if file.listed_bytes is not None and (wrong := _listed(file, path, progress)):
        return Check(file.name, False, wrong, details)
    if file.unverified:
        return Check(file.name, True, f"{size} bytes, sha256 as adopted, unverified", details)
    if published:
        return Check(file.name, True, f"{size} bytes, {', '.join(published)} as published", details)
    return _against_receipt(file, path, computed["sha256"], details)


def _listed(file: File, path: Path, progress: Progress) -> str:
    """What is wrong with the files that a listing lists, or nothing."""
    task = f"files of {file.name}"
    done = bad = 0
    first = ""
    try:
        for entry in _listing.entries(path):
            listed = _listing.folder(path) / entry.path
            try:
                with _listing.opened(listed) as opened:
                    found = hashlib.file_digest(opened, "sha256").digest()
                wrong = "" if found == entry.sha256 else "not the bytes that were adopted"
            except OSError as error:
                wrong = f"cannot be read ({error.strerror})"
            if wrong:
                bad += 1
                first = first or f"{listed}: {wrong}"
            done += entry.bytes
            progress(Event(task, done, file.listed_bytes))
    except DataError as error:
        return str(error)
    progress(Event(task, done, file.listed_bytes, finished=True))
    return f"{bad} files are not as adopted, the first is {first}" if bad else ""


def _against_receipt(file: File, path: Path, sha256: str, details: dict[str, object]) -> Check:
    receipt = receipts.remembered(path)
    if receipt is None:
        message = f"no digest is published, and none was remembered; sha256 {sha256}"
        return Check(file.name, True, message, details)
    remembered = receipt.digests["sha256"]
    if remembered != sha256:
        message = (
            f"sha256 {sha256}, but {remembered} when it was fetched; remove it to fetch it again"
        )
        return Check(file.name, False, message, details | {"expected_sha256": remembered})
    message = "no digest is published; sha256 as when it was fetched"
    return Check(file.name, True, message, details)
