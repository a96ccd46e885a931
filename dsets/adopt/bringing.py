"""Files into the store: an official one under its name, others into a work folder."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from dsets.adopt import hashing
from dsets.adopt.parts import Official, Part, Stranger, Tree
from dsets.atomic import drop, flush
from dsets.errors import AdoptError
from dsets.fetch import receipts
from dsets.fetch.hashing import CHUNK, Digester, digests
from dsets.manifest import File
from dsets.progress import Event, Progress
from dsets.readers import _listing

_HALF = re.compile(r"\.(.+)\.\d+\.part")
_RECEIPT = re.compile(r"\.\.(.+)\.receipt\.json\.\d+-\d+\.part")


def sweep(folder: Path, names: Collection[str]) -> None:
    """Remove the half copies and receipts that killed jobs left of these files.

    We hold the folder's lock, but a fetch that writes a receipt does not.
    """
    for path in folder.glob(".*.part"):
        receipt = _RECEIPT.fullmatch(path.name)
        half = _HALF.fullmatch(path.name)
        if receipt and receipt[1] in names:
            drop([path])
        elif half and half[1] in names:
            path.unlink(missing_ok=True)


def official(one: Official, folder: Path, copy: bool, tell: Progress) -> None:
    """An official file under its final name, its receipt first."""
    final = folder / one.name
    _check_unchanged(one.path, one.receipt)
    if copy:
        part = folder / f".{one.name}.{os.getpid()}.part"
        try:
            found = _copied(one.path, part, receipts.algorithms(one.file), tell)
            if wrong := receipts.mismatch(one.file, part.stat().st_size, found):
                raise AdoptError("changed while it was copied", where=one.path, got=wrong)
            receipts.write(final, receipts.write_down(part.stat(), found, one.path.as_uri()))
            os.replace(part, final)
        finally:
            part.unlink(missing_ok=True)
    else:
        receipts.write(final, replace(one.receipt, address=one.path.as_uri()))
        _link(one.path, final)
    flush(folder)


def _check_unchanged(path: Path, receipt: receipts.Receipt) -> None:
    remedy = "let whatever writes it finish, then adopt again"
    try:
        there = receipts.write_down(path.stat(), receipt.digests)
    except OSError as error:
        raise AdoptError(
            f"gone since it was found ({error.strerror})", where=path, remedy=remedy
        ) from error
    if there != receipt:
        raise AdoptError("changed since it was found", where=path, remedy=remedy)


def _link(target: Path, final: Path) -> None:
    """A symbolic link to the absolute path, put in place of whatever file has that name."""
    part = final.with_name(f".{final.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    os.replace(part, final)


def _copied(path: Path, part: Path, algorithms: Sequence[str], tell: Progress) -> dict[str, str]:
    """Copy a file and hash what was copied."""
    task = f"copying {path.name}"
    total = path.stat().st_size
    with Digester(algorithms) as digester, path.open("rb") as file, part.open("wb") as out:
        while data := file.read(CHUNK):
            out.write(data)
            digester.update(data)
            tell(Event(task, out.tell(), total))
        out.flush()
        os.fsync(out.fileno())
        tell(Event(task, total, total, finished=True))
        return digester.result()


def stranger(part: Stranger, work: Path, copy: bool, tell: Progress) -> File:
    final = work / part.name
    size = part.path.stat().st_size
    if copy:
        found = _copied(part.path, final, ("sha256",), tell)
    else:
        _link(part.path, final)
        task = f"hashing {part.path}"
        found = digests(final, ("sha256",), lambda done: tell(Event(task, done, size)))
        tell(Event(task, size, size, finished=True))
    there = final.stat()
    if there.st_size != size:
        raise AdoptError("changed while it was read", where=part.path, remedy="adopt it again")
    receipts.write(final, receipts.write_down(there, found, part.path.as_uri()))
    return File(part.name, bytes=size, sha256=found["sha256"], unverified=True)


def tree(one: Tree, work: Path, copy: bool, jobs: int, tell: Progress) -> File:
    """A listing of the tree's files, and beside it the folder that it lists."""
    listing = work / one.name
    below, listed = _placed(one, listing, copy)
    total = 0
    with listing.open("wb") as out:
        for entry in hashing.entries(f"hashing {one.split}", below, listed, jobs, tell):
            out.write(_listing.line(entry))
            total += entry.bytes
    flush(listing)
    computed = digests(listing, ("sha256",))
    there = listing.stat()
    receipts.write(listing, receipts.write_down(there, computed))
    return File(
        one.name,
        bytes=there.st_size,
        sha256=computed["sha256"],
        unverified=True,
        listed_bytes=total,
    )


def unread(part: Part, work: Path) -> File:
    """A part in a work folder as it would be, but for digests: nothing of it is read for them."""
    final = work / part.name
    if isinstance(part, Tree):
        below, listed = _placed(part, final, copy=False)
        with final.open("wb") as out:
            for path in listed:
                size = os.stat(below / path).st_size
                out.write(_listing.line(_listing.Entry(path, size, bytes(32))))
    else:
        final.symlink_to(part.path.absolute())
    return File(part.name, bytes=final.stat().st_size, sha256="0" * 64, unverified=True)


def _placed(one: Tree, listing: Path, copy: bool) -> tuple[Path, list[str]]:
    """The folder that the listing will list, with the tree's files in it, and their paths."""
    below = _listing.folder(listing)
    if len(one.roots) == 1:
        prefixed = [("", one.roots[0])]
        if not copy:
            below.symlink_to(one.roots[0].path.absolute())
    else:
        names = _names([root.path.name for root in one.roots])
        prefixed = [(f"{name}/", root) for name, root in zip(names, one.roots, strict=True)]
        if not copy:
            below.mkdir()
            for name, root in zip(names, one.roots, strict=True):
                (below / name).symlink_to(root.path.absolute())
    if copy:
        for prefix, root in prefixed:
            for path in root:
                (below / f"{prefix}{path}").parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root.path / path, below / f"{prefix}{path}")
    return below, sorted(f"{prefix}{path}" for prefix, root in prefixed for path in root)


def _names(names: Sequence[str]) -> list[str]:
    """The names, with numbers where they repeat."""
    made: dict[str, None] = {}
    for name in names:
        number = 1
        unique = name or "root"
        while unique in made:
            number += 1
            unique = f"{name}-{number}"
        made[unique] = None
    return list(made)
