"""Which of the user's files is which of the manifest's: by size, then by digest; else by name."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dsets.adopt.parts import Official, Stranger
from dsets.adopt.walk import Seen
from dsets.fetch import Receipt, receipts
from dsets.fetch.hashing import digests
from dsets.manifest import File, Manifest
from dsets.manifest.family import Family
from dsets.progress import Event, Progress

_COPY = re.compile(r"(?: ?\(\d+\)| copy(?: \d+)?|_copy)(?=(?:\.[a-z0-9]{1,4}){0,2}$)|\.\d+$")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that could be one of ``files``, since its size, or where none is known its name, is.

    ``alike`` are those files whose name it has.
    """

    path: str
    bytes: int
    identity: tuple[int, int]
    files: tuple[File, ...]
    alike: tuple[File, ...]


def plain(name: str) -> str:
    """A file's name without what browsers and file managers add to a second copy."""
    return _COPY.sub("", name.casefold())


class Candidates:
    """Takes what a walk sees and keeps what could be one of the files wanted.

    ``again`` has the paths of files that are in the store already, as far as sizes tell.
    """

    def __init__(
        self,
        wanted: Sequence[File],
        have: Sequence[Official],
        notes: list[str],
        families: Sequence[Family] = (),
    ) -> None:
        self.found: list[Candidate] = []
        self.again: list[str] = []
        self._have: dict[int, list[Official]] = {}
        for one in have:
            self._have.setdefault(one.receipt.bytes, []).append(one)
        self._by_size: dict[int, list[File]] = {}
        self._by_name: dict[str, File] = {
            plain(name): file for file in reversed(wanted) for name in (*file.known_as, file.name)
        }
        self._sizeless = [file for file in wanted if file.bytes is None and not file.family]
        self._families = families
        self._notes = notes
        self._identities: set[tuple[int, int]] = set()
        for file in wanted:
            if file.bytes is not None:
                self._by_size.setdefault(file.bytes, []).append(file)

    def take(self, seen: Seen) -> bool:
        """Keep the file if it could be one that is wanted."""
        alike = self._by_name.get(plain(seen.name)) or self._of_family(seen.name)
        if not self._by_size and not self._have and alike is None and not seen.named:
            return False
        try:
            status = os.stat(seen.path)
        except OSError as error:
            self._notes.append(f"{seen.path}: cannot be read ({error.strerror})")
            return False
        sized = self._by_size.get(status.st_size, [])
        files = list(sized)
        files += [
            file for file in self._sizeless if file is alike or (seen.named and _kin(file, seen))
        ]
        files += [alike] if alike and alike.family and alike.bytes is None else []
        identity = (status.st_dev, status.st_ino)
        if not sized and (one := self._here(seen, status.st_size)):
            self.again.append(seen.path)
            if seen.named:
                self._notes.append(f"{seen.path}: {one.name} is in the store already")
            return True
        if not files and alike is None:
            return False
        if identity not in self._identities:
            self._identities.add(identity)
            self.found.append(
                Candidate(
                    seen.path,
                    status.st_size,
                    identity,
                    tuple(file for file in files if file.digest),
                    (alike,) if alike else (),
                )
            )
        return True

    def _here(self, seen: Seen, size: int) -> Official | None:
        """The file in the store that a file of this size is, or is a copy of."""
        for one in self._have.get(size, ()):
            names = map(plain, (one.name, *one.file.known_as))
            if one.file.bytes is not None or plain(seen.name) in names:
                return one
        return None

    def _of_family(self, name: str) -> File | None:
        """The file of a family that a name, as published or with a prefix, stands for."""
        for family in self._families:
            if (number := family.number(name)) is not None:
                return self._by_name.get(plain(family.file_name(number)))
        return None


def match(
    candidates: Iterable[Candidate], jobs: int, notes: list[str], progress: Progress
) -> tuple[dict[str, Official], dict[str, list[Stranger]], dict[str, Receipt | None]]:
    """File name → the official one; file name → those that have its name only; the rest by path.

    Only candidates that can be official are hashed, ``jobs`` at once.
    """
    candidates = list(candidates)
    to_hash = [one for one in candidates if one.files]
    for one in to_hash:
        progress(Event(one.path, 0, one.bytes))
    proofs = dict(zip(to_hash, _proofs(to_hash, jobs, progress), strict=True))
    official: dict[str, Official] = {}
    strangers: dict[str, list[Stranger]] = {}
    rest: dict[str, Receipt | None] = {}
    for one in sorted(candidates, key=lambda one: (not one.alike, one.path)):
        proof = proofs.get(one)
        if isinstance(proof, str):
            notes.append(f"{one.path}: {proof}")
            continue
        proved = False
        for file in one.files:
            if proof is None or receipts.mismatch(file, proof.bytes, proof.digests):
                continue
            proved = True
            if file.name in official:
                notes.append(f"{one.path}: {file.name} once more; not needed")
            else:
                official[file.name] = Official(file, Path(one.path), proof)
        if not proved and not one.alike:
            rest[one.path] = proof
        for file in () if proved else one.alike:
            why = difference(file, one.bytes, proof)
            strangers.setdefault(file.name, []).append(Stranger(file.name, Path(one.path), why))
    return official, strangers, rest


def _kin(file: File, seen: Seen) -> bool:
    return os.path.splitext(file.name)[1].casefold() == os.path.splitext(seen.name)[1].casefold()


def difference(file: File, size: int, proof: Receipt | None) -> str:
    """What tells that a file is not the official one."""
    if proof is not None:
        wrong = receipts.mismatch(file, proof.bytes, proof.digests)
        if wrong:
            return wrong
    if file.bytes is not None and size != file.bytes:
        return f"{size:,} bytes, the official file has {file.bytes:,}"
    return "no digest of the official file is published, so nothing can prove it"


def _proofs(candidates: Sequence[Candidate], jobs: int, progress: Progress) -> list[Receipt | str]:
    """A receipt each, or why there is none."""
    tell = one_at_a_time(progress)
    stop = threading.Event()
    with ThreadPoolExecutor(max(jobs, 1), "dsets-adopt") as pool:
        try:
            futures = [pool.submit(_proof, one, stop, tell) for one in candidates]
            return [future.result() for future in futures]
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


class _Stopped(Exception): ...


def _proof(one: Candidate, stop: threading.Event, tell: Progress) -> Receipt | str:
    algorithms = dict.fromkeys(name for file in one.files for name in receipts.algorithms(file))

    def advance(done: int) -> None:
        if stop.is_set():
            raise _Stopped
        tell(Event(one.path, done, one.bytes))

    try:
        before = os.stat(one.path)
        computed = digests(Path(one.path), algorithms, advance)
        after = os.stat(one.path)
    except OSError as error:
        tell(Event(one.path, one.bytes, one.bytes, finished=True))
        return f"cannot be read ({error.strerror})"
    tell(Event(one.path, one.bytes, one.bytes, finished=True))
    receipt = receipts.write_down(before, computed)
    if receipt != receipts.write_down(after, computed):
        return "it changed while it was read"
    return receipt


def one_at_a_time(progress: Progress) -> Progress:
    """``progress``, called by one thread at a time."""
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            progress(event)

    return tell


def purpose(manifest: Manifest, name: str) -> str:
    """What a file is for, from the reader's options that name it: ``images of train``."""
    uses = [
        f"{key} of {split.name}"
        for split in manifest.splits
        for key, value in _options(split.options)
        if value == name
    ]
    return ", ".join(dict.fromkeys(uses)) or "no split needs it"


def _options(options: Mapping[str, object]) -> Iterable[tuple[str, object]]:
    for key, value in options.items():
        for one in value if isinstance(value, tuple) else (value,):
            yield key, one
