"""Calls that make subsets of the tiny dataset, and what came of them."""

from __future__ import annotations

from dsets import fetch, manifest, readers, store, subset, verify
from dsets.fetch import Patience
from dsets.manifest import Source
from dsets.subset import Selection

CATS = Selection(("Cat",), 5, ("val",))


def planned(selection: Selection = CATS, name: str = "mine") -> subset.Plan:
    """The plan, with the annotations in the store."""
    parent = manifest.current("tiny")
    fetch.files(fetch.plan(parent, store.raw("tiny"), files=parent.part("annotations")))
    return subset.plan(parent, selection, name)


def made(patience: Patience, selection: Selection = CATS, name: str = "mine") -> subset.Made:
    return subset.make(planned(selection, name), patience=patience)


def written(name: str) -> dict[str, bytes]:
    """The subset's raw files, but the receipts, which have times."""
    return {path.name: path.read_bytes() for path in store.raw(name).glob("[!.]*")}


def sound(found: manifest.Manifest) -> bool:
    """Whether ``dsets verify --deep`` would be content."""
    folder = store.raw(found.name)
    sources = [Source(found, split, folder) for split in found.splits]
    return all(r.ok for r in [verify.files(found, folder), *map(verify.samples, sources)])


def samples(name: str, split: str) -> list[readers.Sample]:
    found = manifest.find(name)
    source = Source(found, found.split(split), store.raw(name))
    reader = readers.load(found.reader)
    return list(reader.samples(source, range(len(reader.table(source)))))
