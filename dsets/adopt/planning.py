"""Decide what of the user's files is what, and what of the dataset is still missing."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import cast

from dsets import fetch, readers, store
from dsets.adopt import choosing, likeness, unused, variant
from dsets.adopt.matching import Candidates, difference, match
from dsets.adopt.parts import Chosen, Lack, Official, Part, Plan, Stranger, Tree
from dsets.adopt.pictures import Pictures
from dsets.adopt.walk import Seen, Walk
from dsets.errors import DataError, UsageError
from dsets.fetch import Receipt
from dsets.manifest import Manifest, Split, listed
from dsets.progress import Event, Progress, ignore
from dsets.readers import Recognising

_LOOKING = "looking through the folders"
_SHOWN = 20  # files of no use that notes name; the rest are counted


def plan(
    manifest: Manifest,
    paths: Sequence[Path],
    *,
    folder: Path | None = None,
    jobs: int = 4,
    progress: Progress = ignore,
) -> Plan:
    """Look through ``paths`` for what the official ``manifest`` describes. Changes nothing.

    Files that can be official, by size or name, are hashed, ``jobs`` at once; of all others, those
    that were named themselves are opened only. ``folder`` is that of the raw files, in the store if
    None.

    Raises:
        UsageError: a path does not exist, or two strangers want to be one file.
    """
    folder = store.raw(manifest.name) if folder is None else folder
    manifest = listed(manifest, folder)
    steps = fetch.plan(manifest, folder, progress=progress).steps
    have = {
        step.file.name: Official(step.file, step.path, step.receipt)
        for step in steps
        if step.receipt
    }
    walk = Walk(paths)
    notes = walk.notes
    wanted = [file for file in manifest.files if file.name not in have]
    candidates = Candidates(wanted, tuple(have.values()), notes, manifest.families)
    pictures = Pictures(manifest) if manifest.reader == "imagenet" else None
    named: list[Seen] = []
    strays: list[str] = []
    progress(Event(_LOOKING, 0, 0))
    for seen in walk:
        named += [seen] if seen.named else []
        if not (pictures and pictures.take(seen)) and not candidates.take(seen) and seen.named:
            strays.append(seen.path)
    progress(Event(_LOOKING, 0, 0, finished=True))
    official, alike, rest = match(candidates.found, jobs, notes, progress)
    strays += [seen.path for seen in named if seen.path in rest]
    useless = dict.fromkeys(strays, f"no file of {manifest.name}, by its size or name")
    if pictures:
        useless = _looked_into(useless, manifest, pictures, alike, rest)
    notes += pictures.notes() if pictures else ()
    _leave_out(manifest, alike, notes)
    strangers = {
        name: _only(name, found, notes) for name, found in alike.items() if name not in official
    }
    parts: dict[str, Part] = {**strangers, **official, **have}
    parts |= choosing.earlier(manifest, folder, parts)
    splits, lacks = [], []
    for split in manifest.splits:
        if pictures:
            chosen, lacking = pictures.choose(split, parts, notes)
        else:
            chosen, lacking = choosing.choose(manifest, split, parts)
        if chosen is None and lacking:
            lacking[0] = _to_unpack(lacking[0], split, parts)
        splits += [chosen] if chosen else []
        lacks += lacking
    used = {part for chosen in splits for part in chosen.parts if isinstance(part, Stranger)}
    idle = [part for part in strangers.values() if part not in used]
    notes += unused.notes(manifest, folder, idle, lacks)
    told = {note.partition(": ")[0] for note in notes}.union(candidates.again)
    taken: list[Official | Stranger] = [*official.values(), *used]
    places = told.union(str(part.path) for part in taken)
    trees = _places(splits)
    for seen in named:
        if seen.path not in places and seen.name not in trees.get(seen.folder, ()):
            useless.setdefault(seen.path, "nothing that is missing needs it")
    notes += [f"{path}: {why}" for path, why in [*useless.items()][:_SHOWN]]
    if len(useless) > _SHOWN:
        notes.append(f"… and {len(useless) - _SHOWN:,} more files that are of no use")
    notes += [
        f"{name} is not among the files: labels get no names of classes, and are not compared"
        for name in dict.fromkeys(name for _, name in manifest.class_files if splits)
        if name not in parts
    ]
    planned = {chosen.split.name for chosen in splits}
    before = {} if folder != store.raw(manifest.name) else variant.kept(manifest)[0]
    for name in before.keys() - planned:
        lacks = [lack for lack in lacks if lack.split != name]
        got, expected = before[name].samples, manifest.split(name).samples
        of = f" of {expected:,}" if expected else ""
        notes.append(f"{name}: adopted before, unverified, {got:,}{of} samples")
    return Plan(
        manifest,
        folder,
        tuple(have.values()),
        tuple(official[file.name] for file in manifest.files if file.name in official),
        tuple(splits),
        tuple(lacks),
        tuple(notes),
        bool(candidates.again or (pictures and pictures.unneeded)),
    )


def _leave_out(manifest: Manifest, alike: dict[str, list[Stranger]], notes: list[str]) -> None:
    """Leave out, with a note, what only has the name of one of thousands of files of a split.

    One web page among them would else keep the others from being adopted.
    """
    reader = readers.load(manifest.reader)
    families = {name for name in alike if manifest.file(name).family}
    if not families or not hasattr(reader, "begins"):
        return
    for name in families:
        good = []
        for one in alike[name]:
            try:
                why = "" if cast(Recognising, reader).begins(one.path) else "no records begin there"
            except DataError as error:
                why = error.what
            if why:
                notes.append(f"{one.path}: left out, it is not what its name says ({why})")
            else:
                good.append(one)
        if good:
            alike[name] = good
        else:
            del alike[name]


def _looked_into(
    strays: Mapping[str, str],
    manifest: Manifest,
    pictures: Pictures,
    alike: dict[str, list[Stranger]],
    proofs: Mapping[str, Receipt | None],
) -> dict[str, str]:
    """Let archives take the places that their members tell; the others, with what they are."""
    left = {}
    for path in strays:
        name, why = likeness.told(Path(path), manifest)
        if name == likeness.KAGGLE:
            pictures.take_zip(path)
        elif name is None:
            left[path] = f"{strays[path]}; {why}"
        else:
            why = difference(manifest.file(name), os.stat(path).st_size, proofs.get(path))
            alike.setdefault(name, []).append(Stranger(name, Path(path), why))
    return left


def _places(splits: Sequence[Chosen]) -> dict[str, Set[str]]:
    """Folder → the files in it that trees have."""
    found: dict[str, Set[str]] = {}
    for part in (part for chosen in splits for part in chosen.strange if isinstance(part, Tree)):
        for root in part.roots:
            for below, names in root.files.items():
                folder = os.path.normpath(root.path / below)
                found[folder] = found.get(folder, frozenset()) | frozenset(names)
    return found


def _to_unpack(lack: Lack, split: Split, parts: Mapping[str, Part]) -> Lack:
    """The lack, with the command where a file of the split is here, but gzipped."""
    packed = [(name, parts.get(f"{name}.gz")) for name in split.files if name not in parts]
    lines: list[str] = []
    for name, part in packed:
        if isinstance(part, (Official, Stranger)):
            path = shlex.quote(str(part.path))
            size = part.path.stat().st_size
            lines += [
                f"{part.path} has it, but gzipped, to be read only in order; unpack it once:",
                f"gunzip < {path} > {shlex.quote(str(part.path.with_name(name)))}",
                f"(that takes {size:,} bytes of room or somewhat more), then adopt {name}",
            ]
    return replace(lack, details=(*lack.details, *lines))


def _only(name: str, found: Sequence[Stranger], notes: list[str]) -> Stranger:
    """The one file that has an official one's name, but is another."""
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"several files could be {name}, and none is the official one",
        got=", ".join(str(one.path) for one in found),
        remedy="name just the one that is meant",
    )
