"""``dsets.lock``: what was fetched, byte for byte, so that others fetch exactly that.

JSON, sorted, made to be kept under version control: for each dataset the digest of its manifest,
for each file its size, its sha256 and the address that gave it. A lock pins; it adds no address and
no file, so a stranger's lock leads nowhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dsets.atomic import sweeping
from dsets.errors import DigestError, LockError
from dsets.fetch import receipts
from dsets.fetch.planning import Plan
from dsets.fetch.sources import SCHEMES, local, shown
from dsets.locks import holding
from dsets.manifest import File, Manifest

NAME = "dsets.lock"
VERSION = 1
LARGEST = 1 << 24  # bytes of a lock that are read
REMEDY = "mend it, or remove it and write it anew with 'dsets fetch NAME --lock'"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class LockedFile:
    """``address``: who gave the file, without password or query; empty for a local folder."""

    bytes: int
    sha256: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Locked:
    """One dataset. ``manifest``: the sha256 of the manifest that it was fetched by."""

    manifest: str
    files: Mapping[str, LockedFile]


def read(path: Path) -> dict[str, Locked]:
    """Dataset → what is locked of it.

    Raises:
        LockError: it is no lock of this version, or cannot be read.
    """
    try:
        if not path.is_file() and path.exists():  # opening a pipe would wait for ever
            raise LockError("not a file", where=path, remedy=REMEDY)
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise LockError("cannot be read", where=path, got=error.strerror) from error
    try:
        if len(data) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        top = json.loads(data)
        if top["version"] != VERSION:
            raise ValueError(f"version {top['version']!a:.20}")
        return {_text(name): _dataset(one) for name, one in top["datasets"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LockError(
            "not a lock file",
            where=path,
            expected=f"JSON of version {VERSION}, as dsets writes it",
            got=f"{type(error).__name__}: {error}"[:120],
            remedy=REMEDY,
        ) from error


def pinned(manifest: Manifest, locked: Locked, path: Path) -> Manifest:
    """The manifest, in which the locked files are the locked bytes and nothing else.

    The address that gave a file comes first among those that the manifest has.

    Raises:
        LockError: the manifest publishes something else than what is locked, or has no such file.
    """
    for name in locked.files:
        if name not in {file.name for file in manifest.files}:
            raise LockError(
                f"{manifest.name} has no file {name!a:.80} any more",
                where=path,
                remedy=_renew(manifest),
            )
    files = tuple(
        _pinned(manifest, file, locked.files[file.name], path)
        if file.name in locked.files
        else file
        for file in manifest.files
    )
    return replace(manifest, files=files)


def update(path: Path, plan: Plan) -> dict[str, Locked]:
    """Write what the plan's files, all of them here, are; other datasets and files stay.

    Raises:
        LockError: the lock that is there is damaged.
        DigestError: a file of the plan has no receipt that holds: it changed since.
    """
    files: dict[str, LockedFile] = {}
    for step in plan.steps:
        receipt = receipts.read(step.path)
        if receipt is None:
            raise DigestError("changed while it was being locked", where=step.path)
        files[step.file.name] = LockedFile(
            receipt.bytes, receipt.digests["sha256"], _public(receipt.address)
        )
    with holding(path.absolute().parent, folder=True):
        now = read(path) if path.exists() else {}
        before = now.get(plan.manifest.name)
        known = {file.name: file for file in plan.manifest.files}
        others = before.files.items() if before else ()
        kept = {
            name: one for name, one in others if name in known and not _differs(known[name], one)
        }
        now[plan.manifest.name] = Locked(plan.manifest.digest, kept | files)
        data = {
            "version": VERSION,
            "datasets": {
                name: {
                    "manifest": one.manifest,
                    "files": {file: asdict(facts) for file, facts in one.files.items()},
                }
                for name, one in now.items()
            },
        }
        with sweeping(path.absolute()) as part:
            part.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")
    return now


def _pinned(manifest: Manifest, file: File, locked: LockedFile, path: Path) -> File:
    if _differs(file, locked):
        raise LockError(
            f"{manifest.name} publishes another {file.name} now",
            where=path,
            expected=f"{locked.bytes} bytes, sha256 {locked.sha256}",
            got=f"{file.bytes} bytes, sha256 {file.sha256}",
            remedy=_renew(manifest),
        )
    first = [address for address in file.addresses if shown(address) == locked.address]
    made = replace(
        file,
        bytes=locked.bytes,
        sha256=locked.sha256,
        addresses=tuple(dict.fromkeys([*first, *file.addresses])),
        also=(),
        stated_by=file.stated_by if file.sha256 and file.bytes is not None else "the lock file",
    )
    # The other digests are those of one issue; of several, the lock has chosen one.
    return replace(made, sha1=None, md5=None) if file.also else made


def _differs(file: File, locked: LockedFile) -> bool:
    """Whether the manifest publishes something else than what is locked."""
    if f"sha256:{locked.sha256}" in file.also:
        return False
    return file.bytes not in (None, locked.bytes) or file.sha256 not in (None, locked.sha256)


def _renew(manifest: Manifest) -> str:
    return (
        "keep the manifest it was locked with (DSETS_MANIFESTS), or lock what is published now "
        f"with 'dsets fetch {manifest.name} --lock'"
    )


def _public(address: str) -> str:
    """An address that means something elsewhere; a path of this machine does not."""
    known = address.partition("://")[0] in (*SCHEMES, "s3", "gs")
    return address if known and local(address) is None else ""


def _dataset(found: Any) -> Locked:
    manifest = _sha256(found["manifest"])
    return Locked(manifest, {_text(name): _file(one) for name, one in found["files"].items()})


def _file(found: Any) -> LockedFile:
    if type(found["bytes"]) is not int or found["bytes"] < 0:
        raise ValueError("bytes is not a size")
    return LockedFile(found["bytes"], _sha256(found["sha256"]), _text(found["address"]))


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError("a digest is not sha256 in lower-case hex")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("a name or an address is not printable text")
    return value
