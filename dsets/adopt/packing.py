"""Packs in a bundle: what goes in, and how one comes out into the store, whole and proved."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsets import store
from dsets.adopt import contents
from dsets.adopt.contents import Member
from dsets.atomic import flush
from dsets.errors import AdoptError, BusyError, PackError
from dsets.locks import holding
from dsets.pack import index, verification
from dsets.pack.schema import INDEX, STATISTICS, Index
from dsets.progress import Event, Progress, ignore

_NAME = re.compile(contents.NAME)
REMEDY = "get the bundle again, or make it again with 'dsets bundle'"


@dataclass(frozen=True, slots=True)
class Packed:
    """A pack's place in a bundle and in the store: dataset, pipeline, split."""

    dataset: str
    pipeline: str
    split: str

    @property
    def path(self) -> Path:
        return store.packs(self.dataset, self.pipeline) / self.split

    @property
    def member(self) -> str:
        return f"packs/{self.dataset}/{self.pipeline}/{self.split}"


def packed(found: Index, where: Path) -> Packed:
    """What a pack says it is of. Raises AdoptError where it does not say so."""
    pipeline: Any = found.provenance.get("pipeline")
    name = pipeline.get("name") if isinstance(pipeline, dict) else None
    given = (found.provenance.get("dataset"), name, found.split)
    if not all(isinstance(one, str) and _NAME.fullmatch(one) for one in given):
        raise AdoptError(
            "the pack does not say what it is of",
            where=where,
            expected="names of a dataset, a pipeline and a split in its provenance",
            got=", ".join(f"{one!a:.40}" for one in given),
            remedy="make it again with 'dsets prepare'",
        )
    dataset, pipeline, split = map(str, given)
    return Packed(dataset, pipeline, split)


def files(folder: Path) -> Iterator[tuple[str, Path, Member]]:
    """Name within the pack, path, size and sha256 of each file of a pack; its index is the first.

    Shards are as the index says, which whoever writes the bundle proves.
    """
    found = index.read(folder)
    for name in (INDEX, *([STATISTICS] if found.statistics else [])):
        data = (folder / name).read_bytes()
        yield name, folder / name, Member(len(data), hashlib.sha256(data).hexdigest())
    for shard in found.shards:
        yield shard.name, folder / shard.name, Member(shard.bytes, shard.sha256)


class Arriving:
    """The packs of one bundle, each in a folder of its own until all of it was found right.

    A context manager; whatever was not published by then is gone with the block. One bundle of
    packs arrives at a time: two that wait for each other's packs would wait for ever.
    """

    def __init__(self, bundle: Path, tell: Progress = ignore) -> None:
        self._bundle = bundle
        self._tell = tell
        self._held = ExitStack()
        self._parts: dict[Packed, Path] = {}
        self._here: dict[Packed, None] = {}  # in the order in which they come

    def __enter__(self) -> Arriving:
        return self

    def __exit__(self, *error: object) -> None:
        for part in self._parts.values():
            shutil.rmtree(part, ignore_errors=True)
            with suppress(OSError):  # not empty, as a rule
                part.parent.rmdir()
                part.parent.parent.rmdir()
        self._held.close()

    def write(self, name: str, member: Member, chunks: Iterator[bytes]) -> None:
        """Take one file, ``packs/<dataset>/<pipeline>/<split>/<file>``.

        Raises:
            AdoptError: another pack lies in its place.
        """
        _, dataset, pipeline, split, file = name.split("/")
        pack = Packed(dataset, pipeline, split)
        if file == INDEX:
            self._begin(pack, member)
        hashed = hashlib.sha256()
        if pack in self._here:
            for data in chunks:
                hashed.update(data)
        elif pack not in self._parts:
            raise self._error("a pack's file before its index", name)
        else:
            with (self._parts[pack] / file).open("xb") as out:
                for data in chunks:
                    hashed.update(data)
                    out.write(data)
                out.flush()
                os.fsync(out.fileno())
        if hashed.hexdigest() != member.sha256:
            raise self._error("damaged", name, f"sha256 {member.sha256}", hashed.hexdigest())

    def publish(self) -> Iterator[Path]:
        """Verify the packs as ``dsets verify`` does; when all are right, give them their names."""
        for pack, part in list(self._parts.items()):
            try:
                found = index.read(part)
                right = packed(found, part) == pack
                problems = [str(one) for one in verification.verify(part)]
            except PackError as error:
                right, problems = True, [error.what]
            names = {one.name for one in part.iterdir()}
            if not problems and names != {name for name, _, _ in files(part)}:
                problems = ["files that its index does not have"]
            if problems or not right:
                got = "; ".join(problems[:3]) or "a pack of something other"
                raise self._error("not a right pack", pack.member, got=got)
        for pack, part in list(self._parts.items()):
            part.rename(pack.path)
            flush(pack.path.parent)
            del self._parts[pack]
            yield pack.path
        yield from (pack.path for pack in self._here)

    def _begin(self, pack: Packed, member: Member) -> None:
        if not self._here and not self._parts:
            self._wait()
        there = pack.path / INDEX
        if pack.path.exists():
            data = there.read_bytes() if there.is_file() else b""
            if hashlib.sha256(data).hexdigest() != member.sha256:
                raise AdoptError(
                    "another pack is there",
                    where=pack.path,
                    expected=f"the pack of {self._bundle}",
                    remedy="remove it, or move it away, then adopt again",
                )
            self._here[pack] = None
            return
        part = pack.path.with_name(f"{pack.split}.part")  # as prepare calls its own
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._held.enter_context(holding(part, folder=True, wait=False))
        except BusyError as error:
            raise AdoptError(
                "another process is making this pack", where=pack.path, remedy="wait for it"
            ) from error
        for left in part.iterdir():  # of a killed run, or of a job that this pack makes needless
            left.unlink()
        self._parts[pack] = part

    def _wait(self) -> None:
        """Hold the folder of all packs, until the end."""
        folder = store.home() / "packs"
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._held.enter_context(holding(folder, folder=True, wait=False))
        except BusyError:
            self._tell(Event("packs", 0, None, "another process is bringing packs; waiting"))
            self._held.enter_context(holding(folder, folder=True))

    def _error(
        self, what: str, name: str, expected: str | None = None, got: str | None = None
    ) -> AdoptError:
        where = f"{self._bundle}: {name}"
        return AdoptError(what, where=where, expected=expected, got=got, remedy=REMEDY)
