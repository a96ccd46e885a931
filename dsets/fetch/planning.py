"""What fetching would do, decided without doing any of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsets.fetch import receipts, sources
from dsets.fetch.hashing import digests
from dsets.fetch.part import part_size, resumable
from dsets.fetch.receipts import Receipt
from dsets.manifest import File, Manifest
from dsets.progress import Event, Progress, ignore

Action = Literal["have", "resume", "download"]


@dataclass(frozen=True, slots=True)
class Step:
    """One file. ``have_bytes`` are here already; ``receipt`` says what was found in a file we have.

    ``addresses`` are in the order in which they will be tried.
    """

    file: File
    path: Path
    action: Action
    have_bytes: int
    addresses: tuple[str, ...]
    receipt: Receipt | None = None

    @property
    def download_bytes(self) -> int:
        """Bytes still to come; 0 also where the size is not published."""
        if self.action == "have" or self.file.bytes is None:
            return 0
        return max(self.file.bytes - self.have_bytes, 0)


@dataclass(frozen=True, slots=True)
class Plan:
    manifest: Manifest
    folder: Path
    steps: tuple[Step, ...]

    @property
    def missing(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.action != "have")

    @property
    def download_bytes(self) -> int:
        """Bytes to come over the wire, of the files whose size is published."""
        return sum(step.download_bytes for step in self.steps)

    @property
    def need_bytes(self) -> int:
        """Free bytes that the disk must have: a part that is begun again frees its own first."""
        return sum(max((step.file.bytes or 0) - part_size(step.path), 0) for step in self.missing)


def plan(
    manifest: Manifest,
    folder: Path,
    *,
    files: Sequence[str] | None = None,
    mirrors: Sequence[str] = (),
    progress: Progress = ignore,
) -> Plan:
    """Decide, for each file (or the ones named), whether it is here, half here, or to be fetched.

    Writes nothing and asks no server. A file under its final name is believed when its receipt
    still holds; otherwise it is hashed here, which ``progress`` tells of. ``mirrors`` are bases
    (URLs or paths) under which the files lie by name; they and ``$DSETS_MIRROR`` come first. The
    manifest's own addresses are used only where access is open.

    Raises:
        ManifestError: a name in ``files`` is not in the manifest.
        UsageError: a mirror cannot be used, or something is missing and a mirror is no folder.
    """
    bases = sources.bases(mirrors)
    official = manifest.access == "open"
    wanted = manifest.files if files is None else tuple(map(manifest.file, dict.fromkeys(files)))
    steps = tuple(
        _step(file, folder / file.name, sources.addresses(file, bases, official=official), progress)
        for file in wanted
    )
    made = Plan(manifest, folder, steps)
    if made.missing:
        sources.check(bases)
    return made


def found(file: File, path: Path, progress: Progress = ignore) -> Receipt | None:
    """The receipt, old or new, of a file that is what the manifest says; None if there is none."""
    if not path.is_file():
        return None
    receipt = receipts.read(path)
    # A manifest may publish more than it did when the receipt was written.
    if receipt is None or not set(receipts.published(file)) <= set(receipt.digests):
        there = path.stat()
        if file.bytes is not None and there.st_size != file.bytes:
            return None
        task = f"checking {file.name}"
        computed = digests(
            path,
            receipts.algorithms(file),
            lambda done: progress(Event(task, done, there.st_size)),
        )
        progress(Event(task, there.st_size, there.st_size, finished=True))
        receipt = receipts.write_down(there, computed)
    wrong = receipts.mismatch(file, receipt.bytes, receipt.digests)
    return None if wrong else receipt


def _step(file: File, path: Path, addresses: tuple[str, ...], progress: Progress) -> Step:
    if receipt := found(file, path, progress):
        return Step(file, path, "have", receipt.bytes, addresses, receipt)
    if have := resumable(file, path, addresses):
        return Step(file, path, "resume", have, addresses)
    return Step(file, path, "download", 0, addresses)
