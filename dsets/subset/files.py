"""The files of a subset, and the manifest that describes them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dsets import readers, store
from dsets.atomic import replacing
from dsets.errors import FetchError
from dsets.fetch import receipts
from dsets.fetch.hashing import digests
from dsets.manifest import File, Manifest
from dsets.manifest.schema import MADE_BY
from dsets.progress import Event, Progress
from dsets.readers import Cutting, Picture
from dsets.subset import record, writing
from dsets.subset.planning import Plan
from dsets.subset.record import FILE, Image, Lacking
from dsets.subset.spool import Spool


def write(
    plan: Plan, spool: Spool, lacking: Mapping[str, Sequence[Lacking]], progress: Progress
) -> Manifest:
    """Write the files; their manifest, which is not in the store yet.

    Raises:
        FetchError: every image is lacking.
        DataError: the parent's annotations are not what its reader reads.
    """
    kept: dict[str, list[Picture]] = {}
    for share in plan.shares:
        name = share.source.split.name
        out = {one.key for one in lacking[name]}
        kept[name] = [one for one in share.pictures if one.key not in out]
    if not any(kept.values()):
        raise FetchError(
            "none of the images could be had",
            where=plan.name,
            got="; ".join(sorted({one.reason for some in lacking.values() for one in some})),
        )
    images: dict[str, list[Image]] = {}
    files: dict[str, File] = {}
    needed: dict[str, list[str]] = {}
    reader = readers.selectable(plan.parent.reader)
    cuttings: dict[str, list[Cutting]] = defaultdict(list)
    for share in plan.shares:
        name = share.source.split.name
        images[name] = []
        if not kept[name]:
            continue
        path = plan.folder / share.choice.images
        writing.write(path, _stored(kept[name], spool, images[name]))
        files[path.name] = _file(plan, path, progress)
        needed[name] = [path.name]
        only = share.labels if plan.selection.only else None
        for cutting in reader.cut(share.source, {one.key for one in kept[name]}, only):
            cuttings[cutting.archive].append(cutting)
            needed[name].append(cutting.archive)
    for archive, members in cuttings.items():
        path = plan.folder / archive
        if [one.member for one in members] == [""]:
            with replacing(path) as part:
                part.write_bytes(members[0].read())
        else:
            writing.write(path, ((one.member, one.read()) for one in members))
        files[archive] = _file(plan, path, progress)
    path = plan.folder / FILE
    with replacing(path) as part:
        part.write_bytes(record.render(plan.identity, images, lacking))
    files[FILE] = _file(plan, path, progress)
    return _manifest(plan, {name: len(kept[name]) for name in needed}, needed, files)


def _stored(
    pictures: Sequence[Picture], spool: Spool, images: list[Image]
) -> Iterator[tuple[str, bytes]]:
    for one in pictures:
        data = spool.path(one.place).read_bytes()
        images.append(Image(one.key, one.place, len(data), hashlib.sha256(data).hexdigest()))
        yield one.place, data


def _file(plan: Plan, path: Path, progress: Progress) -> File:
    """The file as the manifest has it, with its receipt written."""
    there = path.stat()
    task = f"checking {path.name}"
    computed = digests(path, ("sha256",), lambda done: progress(Event(task, done, there.st_size)))
    progress(Event(task, there.st_size, there.st_size, finished=True))
    receipts.write(path, receipts.write_down(there, computed))
    of = {file.name: file for file in plan.parent.files}
    known = of.get(path.name, File(path.name))
    return File(
        path.name,
        bytes=there.st_size,
        sha256=computed["sha256"],
        part=known.part,
        unverified=known.unverified,
    )


def _manifest(
    plan: Plan,
    samples: Mapping[str, int],
    needed: Mapping[str, Sequence[str]],
    files: Mapping[str, File],
) -> Manifest:
    """The parent's manifest with fewer files, splits and samples."""
    parent = plan.parent
    splits = tuple(
        replace(
            share.source.split,
            samples=samples[share.source.split.name],
            files=(*dict.fromkeys(needed[share.source.split.name]), FILE),
            options=share.choice.options,
            training=share.source.split.name == next(iter(samples)),
            on_request=False,
        )
        for share in plan.shares
        if share.source.split.name in samples
    )
    classes = ", ".join(plan.identity["classes"]) or "any class"
    return replace(
        parent,
        name=plan.name,
        title=f"{parent.title}: a subset ({classes:.200})",
        files=tuple(files.values()),
        splits=splits,
        absent=None,
        notes=f"A subset of {parent.name}; {FILE} says which samples, and of which annotations.\n"
        f"{MADE_BY}{command(plan)}\n",
        origin=str(store.manifests() / f"{plan.name}.toml"),
    )


def command(plan: Plan) -> str:
    """The call that makes the subset."""
    chosen = plan.selection
    words = [f"dsets subset {plan.parent.name}"]
    if plan.identity["classes"]:
        classes = ",".join(plan.identity["classes"])
        words.append("--classes '" + classes.replace("'", "'\\''") + "'")
    words += [] if chosen.most is None else [f"--max {chosen.most}"]
    words += [f"--split {name}" for name in chosen.splits]
    words += [f"--seed {chosen.seed}"] if chosen.seed else []
    words += ["--only-classes"] if chosen.only else []
    return " ".join([*words, f"--name {plan.name}"])
