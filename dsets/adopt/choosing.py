"""Which files a split is had from: all of them, or some where the others can be done without."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsets import readers, store
from dsets.adopt import variant
from dsets.adopt.matching import purpose
from dsets.adopt.parts import Chosen, Lack, Part, Stranger
from dsets.manifest import Manifest, Split


def choose(
    manifest: Manifest, split: Split, parts: Mapping[str, Part]
) -> tuple[Chosen | None, list[Lack]]:
    """Every file of a split, official or at least of that name; of families and of archives that
    are as good alone, what there is."""
    if families := {file for file in split.files if manifest.file(file).family}:
        return _of_families(split, families, parts)
    lacks = [
        Lack(split.name, name, purpose(manifest, name)) for name in split.files if name not in parts
    ]
    missing = {lack.what for lack in lacks}
    if missing - spare(manifest, split, parts.keys()):
        return None, lacks
    wanted = tuple(name for name in split.files if name in parts)
    # Others of the kind go with strangers; and what nothing can prove is meant where it is given.
    strange = any(isinstance(parts[name], Stranger) for name in wanted)
    more = [name for value in split.options.values() for name in _listed(value)]
    wanted += tuple(
        name
        for name in dict.fromkeys(more)
        if name not in wanted
        and isinstance(parts.get(name), Stranger)
        and (strange or not manifest.file(name).digest)
    )
    chosen = tuple(parts[name] for name in wanted)
    names = dict(zip(wanted, (part.name for part in chosen), strict=True))
    if missing:
        split = replace(split, whole_files=len(wanted) + len(missing))
    return Chosen(split, chosen, _renamed(_without(split.options, missing), names)), lacks


def groups(manifest: Manifest, split: Split) -> tuple[tuple[str, ...], ...]:
    """Files of a split of which any one will do: its archives, where its reader reads some."""
    options = getattr(readers.load(manifest.reader), "PARTED", ())
    found = (_listed(split.options.get(name, ())) for name in options)
    needed = (tuple(name for name in names if name in split.files) for names in found)
    return tuple(names for names in needed if len(names) > 1)


def spare(manifest: Manifest, split: Split, there: Set[str]) -> frozenset[str]:
    """The files that a split can do without, since others of their kind are there."""
    return frozenset(
        name for names in groups(manifest, split) if there & set(names) for name in names
    )


def earlier(manifest: Manifest, folder: Path, parts: Mapping[str, Part]) -> dict[str, Part]:
    """What was adopted before of splits of which more has come now, and not all is here yet."""
    if folder != store.raw(manifest.name):
        return {}
    found: dict[str, Part] = {}
    for name, split in variant.kept(manifest)[0].items():
        official = manifest.split(name)
        new = any(isinstance(parts.get(one), Stranger) for one in official.files)
        if split.whole_files is None or not new or not groups(manifest, official):
            continue
        for one in split.files:
            called = one.removeprefix(variant.OURS)
            if called != one and called not in parts:
                path = Path(os.path.realpath(folder / one))
                found[called] = Stranger(called, path, "adopted before")
    return found


def _of_families(
    split: Split, families: Set[str], parts: Mapping[str, Part]
) -> tuple[Chosen | None, list[Lack]]:
    there = [name for name in split.files if name in parts]
    found = sum(name in families for name in there)
    lacks = []
    if found < len(families):
        what = f"files of {split.name}"
        lacks = [Lack(split.name, what, f"the rest of {split.name}", len(families), found)]
    if not found:
        return None, lacks
    some = replace(split, whole_files=len(families))
    return Chosen(some, tuple(parts[name] for name in there), split.options), lacks


def _listed(value: Any) -> tuple[str, ...]:
    """The texts of an option that is a list: files that are used, and not demanded, among them."""
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, tuple) else ()


def _without(options: Mapping[str, Any], missing: Set[str]) -> Mapping[str, Any]:
    """Options whose lists do not have the files that are missing."""
    return {
        name: tuple(one for one in value if one not in missing)
        if missing & set(_listed(value))
        else value
        for name, value in options.items()
    }


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Options in which files have other names."""
    if isinstance(value, Mapping):
        return {key: _renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_renamed(inner, names) for inner in value)
    return names.get(value, value) if isinstance(value, str) else value
