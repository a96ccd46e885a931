"""Loose pictures in folders → a tree: each picture once, wherever else it lies as well."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from dsets.adopt.parts import Root, Tree
from dsets.readers import _listing

#: Folder → names of the files taken in it.
Folders = dict[str, list[str]]


def gathered(
    split: str, found: Sequence[Folders], classes: Collection[str], notes: list[str]
) -> Tree | None:
    """The files of a split, each picture once: the largest folder's, then what others have more."""
    apart = [group for folders in found for group in groups(folders)]
    taken: dict[str, str] = {}
    roots = []
    for group in sorted(apart, key=lambda one: (-sum(map(len, one.values())), min(one))):
        rest = _rest(split, group, taken, notes)
        taken |= {key(name): folder for folder, names in rest.items() for name in names}
        roots += [root(rest, classes)] if rest else []
    # A class's tar and its pictures beside it: the tar is whole, unpacking may have stopped.
    packed = {name.removesuffix(".tar") for name in taken if name.endswith(".tar")}
    if packed:
        roots = [without(root, packed) for root in roots]
    return Tree(split, tuple(root for root in roots if len(root))) if roots else None


def _rest(split: str, group: Folders, taken: Mapping[str, str], notes: list[str]) -> Folders:
    """What of a group is not taken yet; a note says what is left out, and where copies differ."""
    rest: Folders = {}
    again = 0
    differ: list[str] = []
    for folder, names in group.items():
        for name in names:
            other = taken.get(key(name))
            if other is None:
                rest.setdefault(folder, []).append(name)
                continue
            again += 1
            path = os.path.join(folder, name)
            if _size(path) != _size(os.path.join(other, name)):
                differ.append(f"{path} (used: {other})")
    if again:
        more = "the others are" if rest else "nothing else is there"
        notes.append(f"{common(group)}: {again:,} pictures of {split} once more; not used, {more}")
    if differ:
        notes.append(
            f"{common(group)}: {len(differ):,} of these have other sizes, such as {differ[0]}"
        )
    return rest


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # the same picture under another suffix
        return -1


def key(name: str) -> str:
    return name if name.endswith(".tar") else name.rpartition(".")[0]


def listable(folders: Folders, notes: list[str]) -> Folders:
    """The folders whose path a listing can have; within each, a picture under one suffix only."""
    good: Folders = {}
    for folder, names in folders.items():
        if not _listing.listable(folder.lstrip(os.sep)):
            notes.append(f"{folder}: {len(names):,} files in a folder whose name cannot be listed")
            continue
        once: dict[str, str] = {}
        for name in names:
            once.setdefault(key(name), name)
        if len(once) < len(names):
            notes.append(f"{folder}: {len(names) - len(once):,} pictures under two suffixes")
        good[folder] = list(once.values())
    return good


def groups(folders: Folders) -> list[Folders]:
    """Folders apart where together they would have a picture twice."""
    if not folders:
        return []
    total = sum(map(len, folders.values()))
    if len(folders) == 1 or len({key(n) for names in folders.values() for n in names}) == total:
        return [folders]
    top = common(folders)
    below: dict[str, Folders] = {}
    for folder, names in folders.items():
        first = os.path.relpath(folder, top).split(os.sep)[0]
        below.setdefault(first, {})[folder] = names
    return [group for one in below.values() for group in groups(one)]


def common(folders: Mapping[str, object]) -> str:
    return os.path.commonpath(list(folders))


def root(folders: Folders, classes: Collection[str]) -> Root:
    top = common(folders)
    if os.path.basename(top) in classes:  # its name may be the label, so it stays in the paths
        top = os.path.dirname(top)
    short = {folder: os.path.relpath(folder, top) for folder in folders}
    files = {"" if short[f] == "." else short[f]: tuple(names) for f, names in folders.items()}
    return Root(Path(top), files)


def without(root: Root, packed: set[str]) -> Root:
    files = {
        folder: kept
        for folder, names in root.files.items()
        if (kept := tuple(n for n in names if n.endswith(".tar") or n.split("_")[0] not in packed))
    }
    return Root(root.path, files)
