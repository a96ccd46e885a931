"""Which images a subset consists of, decided from the annotations alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dsets import fetch, readers, store
from dsets.errors import UsageError
from dsets.fetch import sources
from dsets.fetch.planning import found as receipt_of
from dsets.manifest import File, Manifest, Source, check_name, find
from dsets.progress import Progress, ignore
from dsets.readers import Choice, Picture, Selectable
from dsets.subset import record
from dsets.subset.gathering import Place
from dsets.subset.selection import Selection, labels, ranked, settled


@dataclass(frozen=True, slots=True)
class Share:
    """What a split gives. ``matching`` images were chosen from; ``places``: where they may be."""

    source: Source
    choice: Choice
    labels: tuple[int, ...]
    matching: int
    pictures: Sequence[Picture]
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """``annotations`` says how the files that decide come here; while one of them is missing there
    are no ``shares``. ``identity`` is what ``subset.json`` will say was asked for."""

    parent: Manifest
    name: str
    selection: Selection
    annotations: fetch.Plan
    shares: tuple[Share, ...]
    identity: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where the subset's raw files will lie."""
        return store.raw(self.name)

    @property
    def ready(self) -> bool:
        """Whether the annotations are here."""
        return not self.annotations.missing


def plan(
    parent: Manifest,
    selection: Selection,
    name: str,
    *,
    mirrors: Sequence[str] = (),
    progress: Progress = ignore,
) -> Plan:
    """Decide which images; nothing is written and no server asked.

    ``mirrors`` are bases below which the parent's files lie by name; they come first.

    Raises:
        UsageError: the selection cannot be meant: no such class, nothing selected, …; no dataset
            may have this name.
        ManifestError: no such split.
        DataError: the annotations are not what the manifest or the format says.
    """
    check_name(name)
    if parent.catalogue is not None:
        raise UsageError(
            "only described: no reader reads it, so no subset of it can be made",
            where=parent.name,
            got=parent.catalogue.status,
            remedy=f"'dsets show {parent.name}' says what is known of it",
        )
    selection = settled(selection, parent)
    reader = readers.selectable(parent.reader)
    folder = store.raw(parent.name)
    given = [Source(parent, parent.split(one), folder) for one in selection.splits]
    choices = [reader.choice(source) for source in given]
    archives = [choice.images for choice in choices]
    if len(set(archives)) < len(archives):
        raise UsageError(
            "these splits share their images",
            where=parent.name,
            expected="splits of different images",
            got=", ".join(selection.splits),
        )
    wanted = [
        labels(selection, choice, f"{parent.name}/{source.split.name}")
        for source, choice in zip(given, choices, strict=True)
    ]
    classes = tuple(choices[0].classes[label] for label in wanted[0])
    annotations = dict.fromkeys(file for choice in choices for file in choice.annotations)
    steps = fetch.plan(parent, folder, files=list(annotations), mirrors=mirrors, progress=progress)
    if steps.missing:
        return Plan(parent, name, selection, steps, (), {})
    shares = tuple(
        _share(reader, source, choice, numbers, selection, mirrors)
        for source, choice, numbers in zip(given, choices, wanted, strict=True)
    )
    if not any(share.pictures for share in shares):
        raise UsageError(
            "no image has an object of these classes",
            where=f"{parent.name}/{', '.join(selection.splits)}",
            got=", ".join(classes),
        )
    digests = {
        step.file.name: step.receipt.digests["sha256"] for step in steps.steps if step.receipt
    }
    identity = record.identity(parent.name, selection, classes, digests)
    return Plan(parent, name, selection, steps, shares, identity)


def _share(
    reader: Selectable,
    source: Source,
    choice: Choice,
    numbers: tuple[int, ...],
    selection: Selection,
    mirrors: Sequence[str],
) -> Share:
    matching = 0

    def counted() -> Iterator[Picture]:
        nonlocal matching
        for picture in reader.pictures(source, numbers or None):
            matching += 1
            yield picture

    chosen = ranked(counted(), selection.most, selection.seed)
    places = tuple(_places(source, choice, {one.place: one.key for one in chosen}, mirrors))
    return Share(source, choice, numbers, matching, chosen, places)


def _places(
    source: Source, choice: Choice, keys: Mapping[str, str], mirrors: Sequence[str]
) -> Iterator[Place]:
    """The parent's own archives where they are in the store; of a zip then mirrors and its
    addresses; then the folders of single images in the same order."""
    parent = source.manifest
    files = [parent.file(name) for name in choice.archives]
    bases, official = sources.bases(mirrors), parent.access == "open"
    unofficial = any(parent.file(name).unverified for name in choice.annotations)
    zips = [file for file in files if file.name.lower().endswith(".zip")]
    if not zips and files and all(receipt_of(file, source.path(file.name)) for file in files):
        first = source.path(files[0].name).absolute()
        yield Place(first.as_uri(), files[0], read=partial(_own, source, keys))
    for file in zips:
        here = source.path(file.name).absolute()
        if receipt_of(file, here):
            yield Place(here.as_uri(), file)
        # Of images that belong to unofficial annotations nothing is known.
        bound = File(file.name, file.addresses, unverified=True) if unofficial else file
        for address in sources.addresses(bound, bases, official=official):
            yield Place(address, bound)
    folders = dict.fromkeys(_folders(source, files))
    below = [f"{base}{urlsplit(folder).path}" for base in bases for folder in folders]
    for folder in dict.fromkeys([*below, *(folders if official else ())]):
        yield Place(folder, files[0], singly=True)


def _folders(source: Source, files: Sequence[File]) -> Sequence[str]:
    """Where the archives' images lie one by one; adopted archives' lie where the official ones' do,
    whose split of that name has the same images."""
    parent = source.manifest
    if any(file.unverified for file in files):
        official = find(parent.name)
        if split := next((one for one in official.splits if one.name == source.split.name), None):
            choice = readers.selectable(official.reader).choice(
                Source(official, split, source.root)
            )
            files = [*files, *(official.file(name) for name in choice.archives)]
    return [folder for file in files for folder in file.singly]


def _own(
    source: Source, keys: Mapping[str, str], wanted: Collection[str]
) -> Iterator[tuple[str, bytes | None]]:
    """The wanted images that the parent's reader finds in its archives, in their order there."""
    place_of = {keys[place]: place for place in wanted}
    every = chain.from_iterable(readers.keys(source))
    rows = [row for row, key in enumerate(every) if key in place_of]
    for key, image in readers.images(source, rows):
        yield place_of[key], image
