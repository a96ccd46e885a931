"""``<file>.part``: the bytes of a file so far, locked, and hashed as they arrive.

The first 16 MiB are written as they come. What follows is written past the page cache, a few MiB at
a time; a killed process loses those, or of a slow connection what came in the last seconds. Of one
that stalls it loses what came last before it did. A power cut, too, leaves the file's beginning.

Beside it, ``.<file>.part.json`` remembers which address began it and that address's validator; of a
small file that has a digest only once the part is left.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dsets import direct
from dsets.atomic import flush, replacing
from dsets.fetch import receipts
from dsets.fetch.hashing import CHUNK, Data, Digester
from dsets.fetch.sources import shown
from dsets.fetch.stop import Stop
from dsets.locks import holding
from dsets.manifest import File

BEHIND = 1 << 23  # bytes that the system may keep before it is told to begin writing them


@dataclass(frozen=True, slots=True)
class Origin:
    """Who began a part: the address as shown, its strong validator, the file's size there."""

    address: str
    validator: str
    bytes: int | None


def part_path(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def part_size(path: Path) -> int:
    """Bytes of the part of ``path``; 0 where there is none."""
    try:
        return part_path(path).stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def origin_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.part.json")


def half_written(folder: Path) -> list[Path]:
    """What killed processes left of receipts and origins, whichever file's they are."""
    return list(folder.glob("..*.part"))


def debris(path: Path, among: Iterable[Path] | None = None) -> list[Path]:
    """What is half-written of the file at ``path``, of all that is in its folder."""
    names = tuple(f".{of.name}." for of in (receipts.receipt_path(path), origin_path(path)))
    among = half_written(path.parent) if among is None else among
    return [left for left in among if left.name.startswith(names)]


def read_origin(path: Path) -> Origin | None:
    try:
        found = json.loads(origin_path(path).read_bytes())
        total = found["bytes"]
        return Origin(
            str(found["address"]), str(found["validator"]), None if total is None else int(total)
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def resumable(file: File, path: Path, addresses: Collection[str]) -> int:
    """How many bytes of the part at ``path`` can be kept; 0 if there is none."""
    size = part_size(path)
    if file.bytes is not None and size > file.bytes:
        return 0
    if file.digest:
        return size
    origin = read_origin(path)
    began = origin is not None and origin.address in map(shown, addresses)
    return size if began else 0


class Part:
    """An open, locked part. ``size`` bytes are in it; ``pieced`` if not all came in one answer.

    ``ended``: somebody told how long the file is, so that a part of it is known for one.
    ``told``: how long the file is by the answer in hand, where that says so. ``untold``: the
    address that gave what is here until its connection ended, without a word that this is all.
    """

    def __init__(self, file: File, path: Path, descriptor: int) -> None:
        self.file = file
        self.path = path
        self.size = 0
        self.pieced = False
        self.ended = True
        self.told: int | None = None
        self.untold = ""
        self.origin = read_origin(path)
        self._unwritten = False
        self._descriptor = descriptor
        self._digester = Digester(receipts.algorithms(file), file.bytes)
        self._behind = 0
        self._run: direct.Run | None = None

    @property
    def complete(self) -> bool:
        """Whether every byte is here, as far as anybody said how many there are."""
        known = self.file.bytes
        if known is None and self.origin is not None:
            known = self.origin.bytes
        return self.size > 0 and self.size == known

    def block(self) -> AbstractContextManager[memoryview]:
        """Memory to read into, for a slice of it to be appended."""
        return self._digester.block()

    def append(self, data: Data) -> None:
        """Write bytes, or a slice of the ``block`` that is lent, behind what is here."""
        self.untold = ""
        view = memoryview(data)
        if self._run is None and self.size >= direct.WORTH:
            # What is written past the page cache must not be on the disk before what is in it: a
            # power cut would leave a part with a hole.
            os.fsync(self._descriptor)
            self._run = direct.Run(self._descriptor, self.size)
        if self._run:
            self._run.write(view)
            self.size += len(view)
        else:
            self._write(view)
        self._digester.update(data)

    def flush(self) -> None:
        """Have all that came in the file, for who reads it there and for the next process."""
        if self._run:
            self._run.flush()

    def clear(self) -> None:
        """Begin again: nothing of what is here can be used."""
        self._digester.close()
        self._digester = Digester(receipts.algorithms(self.file), self.file.bytes)
        self._end_run()
        os.ftruncate(self._descriptor, 0)
        self.size = self._behind = 0
        self.pieced, self.ended, self.untold = False, True, ""
        self.forget()

    def remember(self, origin: Origin) -> None:
        """Write down who began this: of a small file that has a digest only when it is left, for it
        is here soon, and its digest tells pieces of two files without that."""
        self.origin = origin
        small = origin.bytes is not None and origin.bytes <= direct.WORTH
        self._unwritten = small and self.file.digest is not None
        if not self._unwritten:
            self._write_origin(origin)

    def _write_origin(self, origin: Origin) -> None:
        with replacing(origin_path(self.path)) as beside:
            beside.write_text(json.dumps(asdict(origin)) + "\n")
        self._unwritten = False

    def forget(self) -> None:
        self.origin, self._unwritten = None, False
        origin_path(self.path).unlink(missing_ok=True)

    def digests(self) -> dict[str, str]:
        return self._digester.result()

    def starts_with(self, data: bytes) -> bool:
        """Whether what is here begins with these bytes, or is the beginning of them."""
        self.flush()
        there = os.pread(self._descriptor, min(len(data), self.size), 0)
        return data.startswith(there)

    def matches(self, offset: int, data: Data) -> bool:
        """Whether bytes are those from ``offset`` on, as far as both reach."""
        self.flush()
        there = os.pread(self._descriptor, min(len(data), max(self.size - offset, 0)), offset)
        return memoryview(data)[: len(there)] == there

    def finish(self, address: str, note: str = "") -> receipts.Receipt:
        """Give the part, whose digests are right, its final name.

        The receipt goes first: a rename changes neither size, time nor inode, and a process killed
        between the two leaves a receipt that fits nothing, instead of a file to hash again.

        A power cut may give a small file that has a digest its part's name back, with all its
        bytes: the next fetch renames it. To wait for the folder too would take as long again.
        """
        self.flush()
        os.fsync(self._descriptor)
        there = os.fstat(self._descriptor)
        receipt = replace(receipts.write_down(there, self.digests(), address), note=note)
        receipts.write(self.path, receipt)
        os.replace(part_path(self.path), self.path)
        if self.size > direct.WORTH or self.file.digest is None:
            flush(self.path.parent)
        self.forget()
        return receipt

    def close(self) -> None:
        """Write what still waits, if that is possible, for the next process to go on from it."""
        self._digester.close()
        with suppress(OSError):
            self.flush()
            left = self.size > 0 and _is(part_path(self.path), self._descriptor)
            if self.origin and self._unwritten and left:
                self._write_origin(self.origin)
        self._end_run()

    def recover(self, keep: int, stop: Stop) -> None:
        """Take over the first ``keep`` bytes that an earlier process left, hashing them."""
        os.ftruncate(self._descriptor, keep)
        while self.size < keep:
            stop.check()
            data = os.pread(self._descriptor, min(CHUNK, keep - self.size), self.size)
            if not data:  # somebody shortened it meanwhile
                break
            self._digester.update(data)
            self.size += len(data)
        self._behind = self.size
        self.pieced = keep > 0

    def _write(self, view: memoryview) -> None:
        while view:
            written = os.pwrite(self._descriptor, view, self.size)
            self.size += written
            view = view[written:]
        if self.size - self._behind >= BEHIND:
            self._write_behind()

    def _end_run(self) -> None:
        if self._run:
            self._run.close()
            self._run = None

    def _write_behind(self) -> None:
        """Have the system begin to write what is new, or the flush at the end waits for all of it.

        Pages that are not written yet are not dropped by this advice: their writing is begun.
        """
        if hasattr(os, "posix_fadvise"):
            length = self.size - self._behind
            os.posix_fadvise(self._descriptor, self._behind, length, os.POSIX_FADV_DONTNEED)
        self._behind = self.size


@contextmanager
def locked(file: File, path: Path, *, wait: bool = False) -> Iterator[Part]:
    """The part of ``path``, made if absent, held by us alone; an empty one does not stay.

    Raises:
        BusyError: another process holds it, and we shall not ``wait`` for that one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = part_path(path)
    begun = beside.exists()
    with holding(beside, wait=wait) as descriptor:
        part = Part(file, path, descriptor)
        try:
            # Whoever was killed beside a part left the part, too. A look through the folder for
            # each of its files would take time quadratic in their number.
            for left in debris(path) if begun else ():
                left.unlink(missing_ok=True)
            yield part
        finally:
            part.close()
            if os.fstat(descriptor).st_size == 0 and _is(beside, descriptor):
                with suppress(FileNotFoundError):
                    beside.unlink()
                part.forget()


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
