"""One call from a dataset's name to its packs: ``dsets.load``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from dsets import fetch, manifest, prepare
from dsets.errors import PrepareError, SplitError
from dsets.fetch.terms import Accept
from dsets.near import meant
from dsets.pack import Pack
from dsets.pack.schema import Index
from dsets.progress import Progress, ignore


class Dataset(Mapping[str, Pack]):
    """The packs of one dataset by split, as attributes and as a mapping, training first."""

    def __init__(self, name: str, packs: Mapping[str, Pack]) -> None:
        self.name = name
        self._packs = dict(packs)

    def __getitem__(self, split: str) -> Pack:
        if split not in self._packs:
            raise SplitError(
                "no such split",
                where=self.name,
                expected=f"one of {', '.join(self)}",
                got=split,
                remedy=meant(split, self),
            )
        return self._packs[split]

    def __getattr__(self, split: str) -> Pack:
        if split.startswith("_"):  # copy and pickle look for names of Python's own
            raise AttributeError(split)
        return self[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self._packs)

    def __len__(self) -> int:
        return len(self._packs)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._packs]

    def __repr__(self) -> str:
        counts = ", ".join(f"{split}: {len(pack)} samples" for split, pack in self.items())
        return f"<dsets.Dataset {self.name}: {counts}>"


def load(
    name: str,
    *,
    pipeline: str | Path | None = None,
    mirror: str | None = None,
    offline: bool = False,
    accept_terms: Accept = False,
    unverified: bool = False,
    progress: Progress = ignore,
) -> Dataset:
    """Open the packs of a dataset in the store; fetch, verify and prepare first what is missing.

    What is missing is made once, whichever of any number of processes asks first; the others wait
    for it. Packs that are there need no raw files, however they are sharded. What was adopted in
    the place of official files is used, with a warning. ``mirror`` is a URL or folder to
    fetch from first, ``offline`` forbids fetching. ``accept_terms``: see ``dsets.fetch.files``.

    With ``unverified`` nothing is fetched or prepared: the packs that are in the store are given as
    they are, also those that a bundle brought and that were made of what somebody else adopted. A
    warning names those that are not of the manifest and pipeline in force here.

    Raises:
        ManifestError: nobody knows the dataset.
        TermsError: something is to be fetched, and its terms want to be accepted.
        FetchError: its files cannot be brought here.
        PrepareError: a pack that another pipeline or manifest made is in the way.
    """
    found = manifest.current(name)
    if unverified:
        return _as_they_are(found, pipeline)
    if splits := [split.name for split in found.splits if found.unverified(split)]:
        message = f"{name} is adopted, unverified: {', '.join(splits)}"
        if absent := manifest.left_out(found):
            message += f" (without {', '.join(absent)})"
        message += f"; 'dsets show {name}' says more"
        warnings.warn(message, stacklevel=2)
    plan = prepare.plan(found, pipeline=pipeline)
    if unnamed := manifest.unnamed(found):
        warnings.warn(f"{name}: {unnamed}", stacklevel=2)
    missing = [one for one in plan.packs if not _there(one)]
    if missing:
        files = [file for one in missing for file in one.split.files]
        if any(found.file(file).family for file in files) and not any(
            one.split.whole_files for one in missing
        ):
            raise PrepareError(
                "nothing of this dataset of thousands of files is here, and all of it is not "
                "fetched unasked",
                where=name,
                got=f"{len(files):,} files missing",
                remedy=f"run 'dsets fetch {name} --shards 1/100', or without --shards for all",
            )
        mirrors = [mirror] if mirror else []
        folder = missing[0].source.root
        steps = fetch.plan(found, folder, files=files, mirrors=mirrors, progress=progress)
        fetch.files(steps, offline=offline, progress=progress, accept_terms=accept_terms)
        prepare.run(prepare.Plan(found, tuple(missing)), progress=progress)
    return Dataset(name, {one.split.name: Pack.open(one.out) for one in plan.packs})


def _as_they_are(found: manifest.Manifest, pipeline: str | Path | None) -> Dataset:
    every = [split.name for split in found.splits]
    plans = prepare.plan(found, splits=every, pipeline=pipeline).packs
    there = {one.split.name: one for one in plans if prepare.made(one.out)}
    packs = {split: Pack.open(one.out) for split, one in there.items()}
    if not packs:
        raise PrepareError(
            "no packs of it in the store",
            where=found.name,
            expected=f"packs in {plans[0].out.parent}" if plans else None,
            remedy="bring them with 'dsets adopt BUNDLE'",
        )
    others = [split for split, pack in packs.items() if _recipe(pack.index) != there[split].recipe]
    if others:
        message = (
            f"{found.name} is given as it was packed, and not by the manifest and pipeline in "
            f"force here: {', '.join(others)}; 'dsets show PACK' says of what"
        )
        warnings.warn(message, stacklevel=3)
    return Dataset(found.name, packs)


def _recipe(index: Index) -> object:
    return index.provenance.get("recipe")


def _there(plan: prepare.PackPlan) -> bool:
    """True for the wanted samples, sharded in any way; an error for a pack of other samples."""
    pack = prepare.made(plan.out)
    if pack is None:
        return False
    if _recipe(pack) != plan.recipe:
        again = f"run 'dsets prepare {plan.source.manifest.name}{_option(plan)} --force'"
        raise PrepareError(
            "this pack was made from another version of the data or of the pipeline",
            where=plan.out,
            expected=f"recipe {plan.recipe[:16]}…",
            got=f"{pack.provenance.get('recipe')!s:.16}…",
            remedy=f"take it as it is (unverified=True), or {again}" if pack.unverified else again,
        )
    return True


def _option(plan: prepare.PackPlan) -> str:
    default = plan.pipeline.origin == plan.source.manifest.pipeline
    return "" if default else f" --pipeline {plan.pipeline.origin}"
