"""Splits of thousands of files, of which some are as good as all: what there is, counted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dsets import readers, store
from dsets.adopt import variant
from dsets.manifest import Manifest, Source, Split, adopted

if TYPE_CHECKING:
    import pandas as pd


def counted(split: Split, table: pd.DataFrame) -> Split:
    """The split with the samples of each of its files, where it is of many."""
    if split.whole_files is None or "file" not in table:
        return split
    counts = table["file"].value_counts(sort=False)
    return replace(split, options={**split.options, "counts": tuple(map(int, counts))})


def merged(official: Manifest, one: Split, other: Split) -> Split:
    """A split with the files of two parts of it, to be counted anew."""
    both = {*one.files, *other.files}
    names = [
        next((called for called in (name, f"{variant.OURS}{name}") if called in both), "")
        for name in official.split(one.name).files
    ]
    return replace(
        one,
        files=tuple(filter(None, names)),
        samples=one.samples + other.samples,
        options=official.split(one.name).options,
    )


def settle(official: Manifest) -> Manifest | None:
    """Put in force what the store has of the splits whose files are families.

    Files that were adopted in the place of official ones count until those are there. Gives the
    variant, or None where nothing of such a split is there.

    Raises:
        DataError: a file is not what the reader expects.
        ManifestError: a variant that was there is damaged.
    """
    before, with_them = variant.kept(official)
    splits = dict(before)
    for split in official.splits:
        families = {name for name in split.files if official.file(name).family}
        theirs = set(before[split.name].files) if split.name in before else set()
        files = tuple(
            name if variant.there(official, name) else f"{variant.OURS}{name}"
            for name in split.files
            if variant.there(official, name) or f"{variant.OURS}{name}" in theirs
        )
        if not any(name.removeprefix(variant.OURS) in families for name in files):
            continue
        splits[split.name] = replace(split, files=files, whole_files=len(families))
    if not any(variant.many(official, name) for name in splits):
        return None
    trial = variant.made(official, splits, with_them)
    for name, split in splits.items():
        if not variant.many(official, name):
            continue
        source = Source(trial, trial.split(name), store.raw(official.name))
        table = readers.load(official.reader).table(source)
        splits[name] = counted(replace(split, samples=len(table)), table)
    variant.write(variant.made(official, splits, with_them))
    variant.settle(official)
    return adopted(official.name)
