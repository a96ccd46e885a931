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
    progress: Progress = ignore,
) -> Dataset:
    """Open the packs of a dataset in the store; fetch, verify and prepare first what is missing.

    What is missing is made once, whichever of any number of processes asks first; the others wait
    for it. Packs that are there need no raw files, however they are sharded. What was adopted in
    the place of official files is used, with a warning. ``mirror`` is a URL or folder to
    fetch from first, ``offline`` forbids fetching. ``accept_terms``: see ``dsets.fetch.files``.

    Raises:
        ManifestError: nobody knows the dataset.
        TermsError: something is to be fetched, and its terms want to be accepted.
        FetchError: its files cannot be brought here.
        PrepareError: a pack that another pipeline or manifest made is in the way.
    """
    found = manifest.current(name)
    if splits := [split.name for split in found.splits if found.unverified(split)]:
        message = (
            f"{name} is adopted, unverified: {', '.join(splits)}; 'dsets show {name}' says more"
        )
        warnings.warn(message, stacklevel=2)
    plan = prepare.plan(found, pipeline=pipeline)
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


def _there(plan: prepare.PackPlan) -> bool:
    """True for the wanted samples, sharded in any way; an error for a pack of other samples."""
    pack = prepare.made(plan.out)
    if pack is None:
        return False
    if pack.provenance.get("recipe") != plan.recipe:
        raise PrepareError(
            "this pack was made from another version of the data or of the pipeline",
            where=plan.out,
            expected=f"recipe {plan.recipe[:16]}…",
            got=f"{pack.provenance.get('recipe')!s:.16}…",
            remedy=f"run 'dsets prepare {plan.source.manifest.name}{_option(plan)} --force'",
        )
    return True


def _option(plan: prepare.PackPlan) -> str:
    default = plan.pipeline.origin == plan.source.manifest.pipeline
    return "" if default else f" --pipeline {plan.pipeline.origin}"
