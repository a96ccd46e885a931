"""The store → a bundle: one tar with all that a machine without a network needs."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dsets import fetch, manifest, store
from dsets.adopt import contents, packing
from dsets.adopt.contents import Contents, Dataset, Member
from dsets.atomic import sweep, sweeping
from dsets.errors import AdoptError
from dsets.fetch import terms
from dsets.fetch.hashing import CHUNK
from dsets.manifest import Manifest
from dsets.pack import index
from dsets.progress import Event, Progress, ignore


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle will have: ``texts`` are members of a few bytes, ``files`` those of the store.

    ``sha256`` is of the table, which has everybody else's digest: it names the bundle.
    """

    contents: Contents
    texts: tuple[tuple[str, bytes], ...]
    files: tuple[tuple[str, Path], ...]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(contents.render(self.contents)).hexdigest()


def bundle(
    names: Sequence[str], packs: Sequence[Path] = (), *, progress: Progress = ignore
) -> Bundle:
    """Decide what a bundle of these datasets (``NAME`` or ``NAME/SPLIT``) has; writes nothing.

    ``packs`` are folders of packs that go in, too; their datasets' manifests and terms go with
    them, raw files only of the datasets named.

    Raises:
        ManifestError: nobody knows a dataset or a split.
        PackError: a folder is no pack.
        AdoptError: files of it are missing in the store, or a manifest changed under our hands.
    """
    places = {folder: packing.packed(index.read(folder), folder) for folder in packs}
    if len(set(places.values())) < len(places):
        raise AdoptError("two packs of one split", where=", ".join(map(str, packs)))
    wanted: dict[str, dict[str, None]] = {}
    for name in names:
        dataset, slash, split = name.partition("/")
        found = manifest.find(dataset)
        files = found.split(split).files if slash else found.default_files
        wanted.setdefault(dataset, {}).update(dict.fromkeys(files))
    for place in places.values():
        wanted.setdefault(place.dataset, {})
    datasets: dict[str, Dataset] = {}
    texts: list[tuple[str, bytes]] = []
    members: dict[str, Member] = {}
    files_: list[tuple[str, Path]] = []
    for dataset, file_names in wanted.items():
        found = manifest.find(dataset)
        own = terms.of(found)
        datasets[dataset] = Dataset(found.digest, own)
        texts.append((contents.manifest_member(dataset), _bytes(found)))
        texts.append((contents.terms_member(dataset), own.text.encode()))
        for step in _here(found, tuple(file_names), progress).steps:
            if step.receipt is None:  # never: all of the plan is here
                continue
            name = contents.raw_member(dataset, step.file.name)
            files_.append((name, step.path))
            members[name] = Member(step.receipt.bytes, step.receipt.digests["sha256"])
    for folder, place in places.items():
        for file, path, member in packing.files(folder):
            name = f"{place.member}/{file}"
            files_.append((name, path))
            members[name] = member
    small = {name: Member(len(data), hashlib.sha256(data).hexdigest()) for name, data in texts}
    return Bundle(Contents(datasets, small | members), tuple(texts), tuple(files_))


def write(made: Bundle, out: Path, *, progress: Progress = ignore) -> None:
    """Write the tar, the same bytes for the same contents; a file there is replaced in the end.

    Raises:
        AdoptError: a file changed since it was hashed.
        OSError: the disk has not enough room.
    """
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    sweep(out)  # before the room is counted
    if made.contents.bytes > shutil.disk_usage(out.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out))
    with (
        sweeping(out) as part,
        tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as tar,
    ):
        tar.copybufsize = CHUNK  # type: ignore[attr-defined]
        table = (contents.TABLE, contents.render(made.contents))
        for name, data in (table, *made.texts):
            tar.addfile(_info(name, len(data)), io.BytesIO(data))
        for name, path in made.files:
            _add(tar, name, path, made.contents.members[name], progress)


def _add(tar: tarfile.TarFile, name: str, path: Path, member: Member, tell: Progress) -> None:
    with path.open("rb") as file:
        hashed = _Hashed(file, f"bundling {path.name}", member.bytes, tell)
        try:
            tar.addfile(_info(name, member.bytes), hashed)
        except OSError as error:
            if error.errno is not None:
                raise
            hashed.short = True
    if hashed.short or hashed.sha256.hexdigest() != member.sha256:
        raise AdoptError(
            "changed while it was bundled",
            where=path,
            expected=f"sha256 {member.sha256}",
            got=hashed.sha256.hexdigest(),
            remedy="let whatever writes it finish, then bundle again",
        )
    tell(Event(f"bundling {path.name}", member.bytes, member.bytes, finished=True))


class _Hashed(io.RawIOBase):
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO, task: str, total: int, tell: Progress) -> None:
        self.sha256 = hashlib.sha256()
        self.short = False
        self._file, self._task, self._total, self._tell = file, task, total, tell
        self._done = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        self._done += len(data)
        self._tell(Event(self._task, self._done, self._total))
        return data


def _info(name: str, size: int) -> tarfile.TarInfo:
    """Nothing of the machine, the user or the day."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info


def _bytes(found: Manifest) -> bytes:
    data = Path(found.origin).read_bytes()
    if hashlib.sha256(data).hexdigest() != found.digest:
        raise AdoptError("changed since it was read", where=found.origin, remedy="bundle again")
    return data


def _here(found: Manifest, names: Iterable[str], progress: Progress) -> fetch.Plan:
    plan = fetch.plan(found, store.raw(found.name), files=tuple(names), progress=progress)
    if plan.missing:
        own = manifest.adopted(found.name) is not None
        raise AdoptError(
            "not all official files are here",
            where=plan.folder,
            got=f"no good {', '.join(step.file.name for step in plan.missing)}"
            + (", and others adopted unverified, which are not bundled" if own else ""),
            remedy=f"run 'dsets fetch {found.name}', or bundle a split that is here"
            + (", or the pack made of what was adopted, with --pack" if own else ""),
        )
    return plan
