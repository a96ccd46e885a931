"""Making a subset: images, then its files, then its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dsets import manifest, store
from dsets.archive import tarindex
from dsets.archive.blobs import Blobs
from dsets.archive.stream import REMEDY
from dsets.atomic import replacing
from dsets.errors import DigestError, OfflineError, UsageError
from dsets.fetch import receipts, sources, terms
from dsets.fetch.job import is_offline
from dsets.fetch.planning import found as receipt_of
from dsets.fetch.wire import Patience
from dsets.locks import holding
from dsets.manifest import File, Manifest
from dsets.progress import Progress, ignore
from dsets.subset import files, record
from dsets.subset.gathering import IMAGE_BYTES, How, Place, Tally, gather
from dsets.subset.planning import Plan, Share
from dsets.subset.record import FILE, Lacking
from dsets.subset.spool import Spool


@dataclass(frozen=True, slots=True)
class Made:
    """A subset in the store. By split: ``samples``, the digest of the keys; ``contents``, that of
    the images' bytes (``record.contents_digest``); ``lacking``, what was chosen and not to be had.

    ``received`` bytes came by ``requests`` requests; both are 0 where all was here (``had``).
    """

    manifest: Manifest
    samples: Mapping[str, str]
    contents: Mapping[str, str]
    lacking: Mapping[str, Sequence[Lacking]]
    requests: int
    received: int
    addresses: tuple[str, ...]
    had: bool


def make(
    plan: Plan,
    *,
    jobs: int = 8,
    offline: bool = False,
    progress: Progress = ignore,
    patience: Patience | None = None,
    accept_terms: terms.Accept = False,
) -> Made:
    """Bring the images here and make the dataset; what an interrupted call brought is used.

    The parent's terms are shown, or wanted accepted, as in ``fetch.files``.
    A subset that is here whole is left alone. One that lacks images is tried again: only those are
    fetched.

    Raises:
        UsageError: the annotations are missing, or another dataset has the name.
        FetchError: images could not be read to the end from any address; what came is kept.
        TermsError: the terms were not accepted.
        DigestError: a manifest of this name exists, and what came out is not what it says.
    """
    if not plan.ready:
        names = ", ".join(step.file.name for step in plan.annotations.missing)
        raise UsageError(
            f"the annotations must be here first: {names}",
            where=plan.parent.name,
            remedy=f"run 'dsets fetch {plan.parent.name} --part annotations'",
        )
    expected = _expected(plan)
    plan.folder.parent.mkdir(parents=True, exist_ok=True)
    with holding(plan.folder, folder=True):
        if expected and (there := _there(plan, expected)):
            return there
        terms.agree(plan.parent, accept_terms)
        offline = is_offline(offline)
        how, tally = How(jobs, patience or Patience(), progress), Tally()
        spool = Spool(plan.folder)
        lacking: dict[str, list[Lacking]] = {}
        for share in plan.shares:
            places = [*_earlier(plan, share), *(p for p in share.places if _usable(p, offline))]
            if offline and share.pictures and not places:
                raise OfflineError(
                    f"offline, and {', '.join(share.choice.archives)} is not here",
                    where=plan.parent.name,
                )
            reasons = gather([one.place for one in share.pictures], places, spool, how, tally)
            lacking[share.source.split.name] = [
                Lacking(one.key, one.place, reasons[one.place])
                for one in share.pictures
                if one.place in reasons
            ]
        made = files.write(plan, spool, lacking, progress)
        _settle(plan, made, expected)
        spool.clear()
    return _told(manifest.find(plan.name), plan.folder, tally)


def _usable(place: Place, offline: bool) -> bool:
    return not offline or sources.local(place.address) is not None


def _earlier(plan: Plan, share: Share) -> Iterator[Place]:
    """The archive that an earlier call made, which may lack images."""
    path = plan.folder / share.choice.images
    if not path.is_file():
        return
    place = Place(path.absolute().as_uri(), File(path.name), own=True)
    if path.suffix == ".zip":
        yield place
    elif known := record.read(plan.folder / FILE):
        split = known["splits"].get(share.source.split.name, {})
        digests = {one["name"]: one["sha256"] for one in split.get("images", ())}
        yield replace(place, read=partial(_again, path, digests))


def _again(
    path: Path, digests: Mapping[str, str], wanted: Collection[str]
) -> Iterator[tuple[str, bytes | None]]:
    """The wanted images in the tar that are what ``subset.json`` says of them."""
    left = set(wanted)
    with Blobs(path, REMEDY) as blobs:
        for members in tarindex.walk(path, nested=False):
            rows = zip(members.names, members.offsets, members.bytes, strict=True)
            for name, offset, size in rows:
                if name not in left or size > IMAGE_BYTES:
                    continue
                data = blobs.read(int(offset), int(size), name)
                if hashlib.sha256(data).hexdigest() == digests.get(name):
                    left.remove(name)
                    yield name, data


def _expected(plan: Plan) -> Manifest | None:
    """The manifest that has the name already, if it is one of a subset.

    Raises:
        UsageError: it is another dataset's, or of another selection.
    """
    if plan.name not in manifest.names():
        return None
    found = manifest.find(plan.name)
    ours = _ours(found)
    known = record.read(plan.folder / FILE)
    if FILE not in {file.name for file in found.files}:
        raise UsageError(
            "a dataset has this name", where=found.origin, remedy="choose another with --name"
        )
    if ours and known is None:
        return None  # its files were removed, and nobody else wrote the manifest
    if known is not None and known["selection"] != plan.identity:
        raise UsageError(
            "another subset has this name",
            where=found.origin,
            expected=_words(known["selection"]),
            got=_words(plan.identity),
            remedy=f"choose another with --name, or run 'dsets remove {plan.name}' first",
        )
    return found


def _ours(found: Manifest) -> bool:
    return Path(found.origin).parent == store.manifests()


def _words(selection: Mapping[str, Any]) -> str:
    """A selection in a few words, without the digests that did not differ."""
    keys = ("parent", "classes", "max", "splits", "seed", "only_classes", "annotations")
    return "; ".join(f"{key} {selection.get(key)!s:.100}" for key in keys)


def _there(plan: Plan, expected: Manifest) -> Made | None:
    """The subset, if it is whole and here."""
    known = record.read(plan.folder / FILE)
    if known is None or any(split["lacking"] for split in known["splits"].values()):
        return None
    if not all(receipt_of(file, plan.folder / file.name) for file in expected.files):
        return None
    return _told(expected, plan.folder, None)


def _told(made: Manifest, folder: Path, tally: Tally | None) -> Made:
    known = record.read(folder / FILE)
    splits = known["splits"] if known else {}
    return Made(
        made,
        {name: split["samples_digest"] for name, split in splits.items()},
        {name: record.contents_digest(split["images"]) for name, split in splits.items()},
        {
            name: [Lacking(one["key"], one["name"], one["reason"]) for one in split["lacking"]]
            for name, split in splits.items()
        },
        tally.spent.requests if tally else 0,
        tally.spent.received if tally else 0,
        tuple(tally.addresses) if tally else (),
        had=tally is None,
    )


def _settle(plan: Plan, made: Manifest, expected: Manifest | None) -> None:
    """Give the store the manifest, or compare with that which is elsewhere."""
    if expected is not None and not _ours(expected):
        for file in made.files:
            other = expected.file(file.name)
            if receipts.mismatch(other, file.bytes or 0, {"sha256": file.sha256 or ""}):
                raise DigestError(
                    f"{file.name} came out otherwise than the manifest of this name says",
                    where=expected.origin,
                    expected=f"sha256 {other.sha256}",
                    got=file.sha256,
                    remedy="choose another name with --name, or make it from the same annotations "
                    "and selection",
                )
        return
    data = manifest.render(made)
    path = store.manifests() / f"{plan.name}.toml"
    manifest.parse(data, str(path))
    with replacing(path) as part:
        part.write_bytes(data)
