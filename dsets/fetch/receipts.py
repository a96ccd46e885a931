"""What was found when a file was hashed, kept beside it, so that 138 GB are hashed once.

A receipt holds only while size, modification time and inode are what they were; anything else,
unreadable receipts included, counts as no receipt.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from dsets.atomic import replacing
from dsets.manifest import File

PUBLISHED = ("sha256", "sha1", "md5")


@dataclass(frozen=True, slots=True)
class Receipt:
    """``digests``: algorithm → hex, always with sha256. ``address``: where the bytes came from.

    ``note``: what a user should know of the file, as a rule nothing.
    """

    bytes: int
    mtime_ns: int
    inode: int
    digests: Mapping[str, str]
    address: str = ""
    note: str = ""


def receipt_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.receipt.json")


def write_down(there: os.stat_result, digests: Mapping[str, str], address: str = "") -> Receipt:
    return Receipt(there.st_size, there.st_mtime_ns, there.st_ino, dict(digests), address)


def remembered(path: Path) -> Receipt | None:
    """The receipt beside ``path``, whether or not it still holds."""
    try:
        found = json.loads(receipt_path(path).read_bytes())
        receipt = Receipt(
            int(found["bytes"]),
            int(found["mtime_ns"]),
            int(found["inode"]),
            {str(name): str(value) for name, value in found["digests"].items()},
            str(found["address"]),
            str(found.get("note", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return receipt if "sha256" in receipt.digests else None


def read(path: Path) -> Receipt | None:
    """The receipt of the file at ``path``, if it has one that still holds."""
    receipt = remembered(path)
    try:
        there = path.stat()
    except OSError:
        return None
    return receipt if receipt and holds(receipt, there) else None


def holds(receipt: Receipt, there: os.stat_result) -> bool:
    """Whether it is of the file as that is now."""
    now = (there.st_size, there.st_mtime_ns, there.st_ino)
    return (receipt.bytes, receipt.mtime_ns, receipt.inode) == now


def write(path: Path, receipt: Receipt) -> None:
    # One that a power cut spoils counts as none: the file is hashed again.
    with replacing(receipt_path(path), locked=True, lasting=False) as part:
        facts = {key: value for key, value in asdict(receipt).items() if key != "note" or value}
        part.write_text(json.dumps(facts, indent=1) + "\n")


def forget(path: Path) -> None:
    """The file at ``path`` was found to be wrong: believe its receipt no more."""
    with suppress(OSError):
        receipt_path(path).unlink()


def published(file: File) -> dict[str, str]:
    """Every digest that the manifest gives for the file, the strongest first."""
    return {name: value for name in PUBLISHED if (value := getattr(file, name))}


def algorithms(file: File) -> tuple[str, ...]:
    """What to compute: sha256 always, and whatever was published."""
    others = (digest.partition(":")[0] for digest in file.also)
    return tuple(dict.fromkeys(("sha256", *published(file), *others)))


def mismatch(file: File, size: int, digests: Mapping[str, str]) -> str | None:
    """What is wrong with a file of this size and these digests, in words, or None."""
    if file.bytes is not None and size != file.bytes:
        return f"{size} bytes, {file.stated_by} says {file.bytes}"
    if any(f"{name}:{value}" in file.also for name, value in digests.items()):
        return None  # another issue of the file
    for name, value in published(file).items():
        if name in digests and digests[name] != value.lower():
            return f"{name} {digests[name]}, {file.stated_by} says {value}"
    return None
