"""A bundle → the store, without a network. Everything in it is a stranger's word until proved."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping, Set
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dsets import manifest, store
from dsets.adopt import contents
from dsets.adopt.contents import TABLE, Contents, Member
from dsets.adopt.packing import Arriving
from dsets.archive import tar
from dsets.archive.stream import Stream
from dsets.atomic import sweeping
from dsets.errors import AdoptError, BusyError, DsetsError
from dsets.fetch import receipts, terms
from dsets.fetch.part import locked
from dsets.fetch.planning import found as right
from dsets.manifest import Manifest
from dsets.progress import Event, Progress, ignore

REMEDY = "get the bundle again, or make it again with 'dsets bundle'"


@dataclass(frozen=True, slots=True)
class Opened:
    """What a bundle says it has. ``manifests`` are those that count here: ours where we have one.

    ``strange`` are the manifests of datasets that nobody knows here yet, as their bytes.
    """

    path: Path
    contents: Contents
    manifests: tuple[Manifest, ...]
    strange: tuple[tuple[str, bytes], ...]
    sha256: str


def look(path: Path) -> Opened:
    """Read the head of a bundle: its table, manifests and terms. Changes nothing.

    Raises:
        AdoptError: it is no bundle, or does not fit together.
        DataError: the tar is damaged or hostile.
    """
    table: Contents | None = None
    sha256 = ""
    found: list[Manifest] = []
    strange: list[tuple[str, bytes]] = []
    with Stream(path, _limit(path), remedy=REMEDY) as stream:
        if stream.gzip:
            raise AdoptError(
                "compressed",
                where=path,
                expected="a bundle as 'dsets bundle' writes it, a plain tar",
                got="gzip",
                remedy=f"unpack it first: gzip -dc {shlex.quote(str(path))} > BUNDLE.tar",
            )
        for entry, body in tar.walk(stream):
            if table is None:
                if entry.name != TABLE or entry.bytes > contents.LARGEST:
                    raise AdoptError("not a bundle", where=path, expected=f"{TABLE} first")
                data = bytes(body.whole())
                table, sha256 = contents.parse(data, path), hashlib.sha256(data).hexdigest()
                continue
            if entry.name.startswith(("raw/", "packs/")):
                break
            member = _expected(path, table, entry)
            if entry.bytes > contents.LARGEST:
                raise body.error("too large", expected=f"at most {contents.LARGEST} bytes")
            data = bytes(body.whole())
            _check(f"{path}: {entry.name}", member, hashlib.sha256(data).hexdigest())
            for name, one in table.datasets.items():
                if entry.name == contents.manifest_member(name):
                    ours, new = _manifest(path, name, one.manifest, data)
                    found.append(ours)
                    strange += [(name, data)] if new else []
                elif entry.name == contents.terms_member(name) and data != one.terms.text.encode():
                    raise AdoptError("terms do not fit the table", where=f"{path}: {entry.name}")
    if table is None or {one.name for one in found} != set(table.datasets):
        raise AdoptError("not a bundle", where=path, expected="manifests before raw files")
    return Opened(path, table, tuple(found), tuple(strange), sha256)


def unbundle(
    opened: Opened,
    *,
    dry_run: bool = False,
    progress: Progress = ignore,
    accepted: Mapping[str, terms.How] | None = None,
) -> tuple[Path, ...]:
    """Bring every file and pack of the bundle into the store; their paths. Asks no server.

    Each gets its name after its size, the table's sha256 and every digest of the manifest were
    found right, a pack its own after all of it was verified. What is here already is kept. With
    ``dry_run`` every byte of the bundle is hashed, and nothing is changed. Killed at any moment,
    the same call goes on with the files and packs not yet here; of several at once one brings a
    file, and the others wait for it. Of a bundle that is refused only those files stay that a
    digest of a manifest known here proves. ``accepted``: by dataset, how its terms were.

    Raises:
        AdoptError: a member is missing, unknown, there twice, or not what it should be.
        DataError: the tar is damaged or hostile.
    """
    by_name = {one.name: one for one in opened.manifests}
    paths: list[Path] = []
    seen: set[str] = set()
    strange = {name for name, _ in opened.strange}
    with (
        Stream(opened.path, _limit(opened.path), remedy=REMEDY) as stream,
        _Unproved() as unproved,
        Arriving(opened.path, progress) as packs,
    ):
        for entry, body in tar.walk(stream):
            if entry.name == TABLE and not seen:
                seen.add(TABLE)
                if hashlib.sha256(body.whole()).hexdigest() != opened.sha256:
                    raise AdoptError("changed since it was opened", where=opened.path)
                continue
            member = _expected(opened.path, opened.contents, entry)
            if entry.name in seen:
                raise AdoptError("there twice", where=f"{opened.path}: {entry.name}", remedy=REMEDY)
            seen.add(entry.name)
            if not entry.name.startswith(("raw/", "packs/")):
                continue
            _, dataset, *_, name = entry.name.split("/")
            if dataset not in by_name:
                raise AdoptError(
                    "of no dataset of the bundle", where=f"{opened.path}: {entry.name}"
                )
            chunks = _told(body.chunks(), name, member, progress)
            if dry_run:
                _drain(opened.path, entry.name, member, chunks)
            elif entry.name.startswith("packs/"):
                packs.write(entry.name, member, chunks)
            else:
                into = by_name[dataset]
                path = store.raw(dataset) / name
                if _bring(opened.path, into, path, member, chunks, progress) and (
                    dataset in strange or into.file(name).digest is None
                ):
                    unproved.paths.append(path)
                paths.append(path)
        _all_there(opened, seen)
        if not dry_run:
            paths += packs.publish()
            _install(opened, accepted or {})
    return tuple(paths)


def _all_there(opened: Opened, seen: Set[str]) -> None:
    if lacking := set(opened.contents.members) - seen:
        raise AdoptError(
            "members are missing",
            where=opened.path,
            got=f"no {', '.join(sorted(lacking)[:5])}",
            remedy=REMEDY,
        )


class _Unproved:
    """Files that nothing but the bundle's word is for: they go when it turns out to be worthless.

    What an interruption leaves stays, for the next call goes on from there.
    """

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def __enter__(self) -> _Unproved:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None or not issubclass(kind, DsetsError):
            return
        for path in self.paths:
            path.unlink(missing_ok=True)
            receipts.forget(path)
            with suppress(OSError):  # not empty, as a rule
                path.parent.rmdir()


def _bring(
    bundle: Path,
    into: Manifest,
    path: Path,
    member: Member,
    chunks: Iterator[bytes],
    tell: Progress,
) -> bool:
    """Take a raw file out of the bundle; False where it is here already."""
    published = into.file(path.name)
    where = f"{bundle}: {contents.raw_member(into.name, path.name)}"
    with ExitStack() as held:
        try:
            part = held.enter_context(locked(published, path))
        except BusyError:
            tell(Event(path.name, 0, member.bytes, "another process is bringing it; waiting"))
            part = held.enter_context(locked(published, path, wait=True))
        if right(published, path):
            return False
        part.clear()
        try:
            for data in chunks:
                part.append(data)
            found = part.digests()
            _check(where, member, found["sha256"])
            if wrong := receipts.mismatch(published, part.size, found):
                raise AdoptError(
                    "not what the manifest here says",
                    where=where,
                    got=wrong,
                    remedy=f"put the manifest of the bundle into DSETS_MANIFESTS: {into.origin} is "
                    "another one",
                )
        except DsetsError:
            part.clear()
            raise
        part.finish(bundle.absolute().as_uri())
    return True


def _drain(bundle: Path, name: str, member: Member, chunks: Iterator[bytes]) -> None:
    hashed = hashlib.sha256()
    for data in chunks:
        hashed.update(data)
    _check(f"{bundle}: {name}", member, hashed.hexdigest())


def _told(chunks: Iterator[bytes], name: str, member: Member, tell: Progress) -> Iterator[bytes]:
    done = 0
    for data in chunks:
        done += len(data)
        yield data
        tell(Event(name, done, member.bytes, finished=done == member.bytes))


def _install(opened: Opened, accepted: Mapping[str, terms.How]) -> None:
    """Keep the manifests of datasets unknown here, and that the terms were accepted."""
    for name, data in opened.strange:
        with sweeping(store.manifests() / f"{name}.toml") as part:
            part.write_bytes(data)
    for one in opened.manifests:
        terms.accept(one, accepted.get(one.name, "bundle"))


def _manifest(bundle: Path, name: str, sha256: str, data: bytes) -> tuple[Manifest, bool]:
    """The manifest that counts here, and whether it is the bundle's own because we have none."""
    member = contents.manifest_member(name)
    given = manifest.parse(data, f"{bundle}: {member}")
    if given.name != name or given.digest != sha256:
        raise AdoptError("another manifest than the table says", where=f"{bundle}: {member}")
    if name in manifest.names():
        return manifest.find(name), False
    return replace(given, origin=str(store.manifests() / f"{name}.toml")), True


def _expected(bundle: Path, table: Contents, entry: tar.Entry) -> Member:
    member = table.members.get(entry.name)
    if member is None or member.bytes != entry.bytes:
        raise AdoptError(
            "a member that the table does not have" if member is None else "of another size",
            where=f"{bundle}: {entry.name}",
            expected=None if member is None else f"{member.bytes} bytes",
            got=f"{entry.bytes} bytes",
            remedy=REMEDY,
        )
    return member


def _check(where: str, member: Member, sha256: str) -> None:
    if sha256 != member.sha256:
        raise AdoptError(
            "damaged",
            where=where,
            expected=f"sha256 {member.sha256}",
            got=sha256,
            remedy=REMEDY,
        )


def _limit(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
