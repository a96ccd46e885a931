"""Pictures in folders of any nesting, recognised by their names alone, for the reader ``imagenet``.

    n01440764_10026.JPEG                 training, wherever it lies: in a folder of its class or not
    n01440764.tar                        the training pictures of a class, still in their tar
    ILSVRC2012_val_00000001.JPEG         validation; ILSVRC2012_test_00000001.JPEG: test

So Kaggle's layout, torchvision's, flattened folders and half-unpacked archives are all the same to
us. Labels of val follow from the development kit, from folders called by class, or from Kaggle's
LOC_val_solution.csv, whichever is there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from dsets.adopt.matching import plain
from dsets.adopt.parts import Chosen, Lack, Official, Part, Root, Stranger, Tree
from dsets.adopt.walk import Seen
from dsets.manifest import Manifest, Split
from dsets.readers import _imagenet_names, _listing

SOLUTION = "LOC_val_solution.csv"
_CLASS_TAR = re.compile(r"(n\d{8})\.tar")
_ZIP = re.compile(r"imagenet-object-localization-challenge.*\.zip")
_BOXES = re.compile(r"(?:n\d{8}_\d{1,9}|ILSVRC20\d\d_[a-z]+_\d{8})\.xml")
_SHOWN = 20  # classes that a lack names; the rest are counted

#: Folder → names of the files taken in it.
Folders = dict[str, list[str]]


class Pictures:
    """Takes the pictures of one dataset out of what a walk sees."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._classes = next((field.classes for field in manifest.fields if field.classes), ())
        self._splits = {split.name: split for split in manifest.splits}
        self._training = next((one.name for one in manifest.splits if one.training), "")
        #: (split, the user's path) → its files by folder.
        self._found: dict[tuple[str, str], Folders] = {}
        self._solutions: list[str] = []
        self._zips: list[str] = []
        self._boxes = self._unknown = 0

    def take(self, seen: Seen) -> bool:
        """Keep the file if it is a picture, a class's tar, or labels."""
        name = seen.name
        if found := _imagenet_names.parsed(name):
            split = found.stem.split("_")[1] if found.stem else self._training
            if split not in self._splits or (found.wnid and found.wnid not in self._classes):
                self._unknown += 1
            else:
                self._keep(split, seen)
            return True
        if (tar := _CLASS_TAR.fullmatch(name)) and tar[1] in self._classes:
            self._keep(self._training, seen)
            return True
        if plain(name) == plain(SOLUTION):
            self._solutions.append(seen.path)
            return True
        if _ZIP.fullmatch(name):
            self._zips.append(seen.path)
            return True
        if _BOXES.fullmatch(name):
            self._boxes += 1
            return True
        return False

    def _keep(self, split: str, seen: Seen) -> None:
        folders = self._found.setdefault((split, seen.top if not seen.named else ""), {})
        folders.setdefault(seen.folder, []).append(seen.name)

    def notes(self) -> Iterator[str]:
        """What was seen and is of no use."""
        for path in self._zips:
            yield (
                f"{path}: pictures are not read out of a zip archive; unzip it "
                "(it holds single pictures, so nothing is lost but their container), then adopt "
                "the folder"
            )
        if self._unknown:
            yield f"{self._unknown:,} pictures of classes or splits that the dataset has not"
        if self._boxes:
            yield f"{self._boxes:,} XML files: boxes are read from the official archives only"

    def choose(
        self, split: Split, parts: Mapping[str, Part], notes: list[str]
    ) -> tuple[Chosen | None, list[Lack]]:
        """Where ``split`` can be had from, given the archives found under their official names."""
        images, lacks = self._images(split, parts, notes)
        if images is None:
            return None, lacks
        options = dict(split.options)
        chosen: list[Part] = [images]
        options["images"] = images.name
        if isinstance(images, Tree):
            options["layout"] = "listing"
        truth = options.pop("truth", None)
        if truth is not None:
            labels = self._labels(split, images, parts.get(str(truth)), notes)
            if labels is None:
                lack = Lack(
                    split.name,
                    str(truth),
                    f"the labels of {split.name}; {SOLUTION} or folders called by class do as well",
                )
                return None, [*lacks, lack]
            options |= labels[0]
            chosen += labels[1]
        return Chosen(split, tuple(chosen), options), lacks

    def _images(
        self, split: Split, parts: Mapping[str, Part], notes: list[str]
    ) -> tuple[Part | None, list[Lack]]:
        name = str(split.options["images"])
        archive = parts.get(name)
        if isinstance(archive, Official):
            if any(found == split.name for found, _ in self._found):
                notes.append(f"loose pictures of {split.name}: not needed, {name} is official")
            return archive, []
        tree = self._tree(split, notes)
        counts = self._counts(split, tree) if tree else {}
        got = sum(counts.values())
        if tree and (archive is None or got >= split.samples):
            return tree, self._short(split, tree, counts)
        if tree and isinstance(archive, Stranger):
            notes.append(f"loose pictures of {split.name}: {archive.path} is taken instead")
        if archive is None:
            return None, [Lack(split.name, name, f"the pictures of {split.name}", split.samples, 0)]
        return archive, []

    def _labels(
        self, split: Split, images: Part, truth: Part | None, notes: list[str]
    ) -> tuple[dict[str, str], list[Part]] | None:
        """The option that says where labels come from, and the file it needs."""
        if isinstance(truth, Official):
            return {"truth": truth.name}, [truth]
        if isinstance(images, Tree) and self._in_class_folders(images):
            return {"labels": "folder"}, []
        if self._solutions:
            for path in self._solutions[1:]:
                notes.append(f"{path}: {SOLUTION} once more; {self._solutions[0]} is taken")
            why = "Kaggle's own file, no digest of it is published"
            found = Stranger(SOLUTION, Path(self._solutions[0]), why)
            return {"solution": found.name}, [found]
        if truth is not None:
            return {"truth": truth.name}, [truth]
        return None

    def _in_class_folders(self, tree: Tree) -> bool:
        folders = (folder for root in tree.roots for folder in root.files)
        return all(os.path.basename(folder) in self._classes for folder in folders)

    def _tree(self, split: Split, notes: list[str]) -> Tree | None:
        """The files of a split, each picture once: of folders that repeat one, the largest wins."""
        groups = [
            group
            for (name, _), folders in sorted(self._found.items())
            if name == split.name
            for group in _groups(_listable(folders, notes))
        ]
        taken: set[str] = set()
        roots = []
        for group in sorted(groups, key=lambda one: (-sum(map(len, one.values())), min(one))):
            keys = {_key(name) for names in group.values() for name in names}
            if keys & taken:
                notes.append(f"{_common(group)}: pictures of {split.name} once more; not used")
                continue
            taken |= keys
            roots.append(_root(group, self._classes))
        # A class's tar and its pictures beside it: the tar is whole, unpacking may have stopped.
        packed = {key.removesuffix(".tar") for key in taken if key.endswith(".tar")}
        if packed:
            roots = [_without(root, packed) for root in roots]
        return Tree(split.name, tuple(root for root in roots if len(root))) if roots else None

    def _counts(self, split: Split, tree: Tree) -> dict[str, int]:
        """Pictures by class ("" where names don't tell); tars count as what they should hold."""
        samples = _class_samples(split, self._classes)
        counts: dict[str, int] = {}
        for root in tree.roots:
            for names in root.files.values():
                for name in names:
                    key = name.partition("_")[0] if split.training else ""
                    if name.endswith(".tar"):
                        wnid = name.removesuffix(".tar")
                        counts[wnid] = samples.get(wnid, 1)
                    else:
                        counts[key] = counts.get(key, 0) + 1
        return counts

    def _short(self, split: Split, tree: Tree, counts: Mapping[str, int]) -> list[Lack]:
        got = sum(counts.values())
        details: tuple[str, ...] = ()
        if split.training:
            details = shortfalls(split, self._classes, counts)
        files = (names for root in tree.roots for names in root.files.values())
        tars = any(name.endswith(".tar") for names in files for name in names)
        if got >= split.samples and not details:
            return []
        if tars and not details:  # what they hold is counted when they are read
            return []
        return [
            Lack(split.name, "pictures", f"samples of {split.name}", split.samples, got, details)
        ]


def shortfalls(split: Split, classes: Sequence[str], counts: Mapping[str, int]) -> tuple[str, ...]:
    """A line for each class that is short of pictures, ``n01440764: 3 of 1,300``; the worst 20."""
    expected = _class_samples(split, classes)
    short = [
        (expected.get(name, 1) - counts.get(name, 0), name)
        for name in classes
        if counts.get(name, 0) < expected.get(name, 1)
    ]
    lines = [
        f"{name}: {counts.get(name, 0):,}" + (f" of {expected[name]:,}" if name in expected else "")
        for _, name in sorted(short, key=lambda one: (-one[0], one[1]))[:_SHOWN]
    ]
    if len(short) > _SHOWN:
        lines.append(f"… and {len(short) - _SHOWN:,} more classes")
    return tuple(lines)


def _class_samples(split: Split, classes: Sequence[str]) -> dict[str, int]:
    given = split.options.get("class_samples", ())
    return dict(zip(classes, given, strict=True)) if len(given) == len(classes) else {}


def _key(name: str) -> str:
    return name if name.endswith(".tar") else name.rpartition(".")[0]


def _listable(folders: Folders, notes: list[str]) -> Folders:
    """The folders whose path a listing can have; within each, a picture under one suffix only."""
    good: Folders = {}
    for folder, names in folders.items():
        if not _listing.listable(folder.lstrip(os.sep)):
            notes.append(f"{folder}: {len(names):,} files in a folder whose name cannot be listed")
            continue
        once: dict[str, str] = {}
        for name in names:
            once.setdefault(_key(name), name)
        if len(once) < len(names):
            notes.append(f"{folder}: {len(names) - len(once):,} pictures under two suffixes")
        good[folder] = list(once.values())
    return good


def _groups(folders: Folders) -> list[Folders]:
    """Folders apart where together they would have a picture twice."""
    if not folders:
        return []
    total = sum(map(len, folders.values()))
    if len(folders) == 1 or len({_key(n) for names in folders.values() for n in names}) == total:
        return [folders]
    common = _common(folders)
    below: dict[str, Folders] = {}
    for folder, names in folders.items():
        first = os.path.relpath(folder, common).split(os.sep)[0]
        below.setdefault(first, {})[folder] = names
    return [group for one in below.values() for group in _groups(one)]


def _common(folders: Mapping[str, object]) -> str:
    return os.path.commonpath(list(folders))


def _root(folders: Folders, classes: Collection[str]) -> Root:
    top = _common(folders)
    if os.path.basename(top) in classes:  # its name may be the label, so it stays in the paths
        top = os.path.dirname(top)
    short = {folder: os.path.relpath(folder, top) for folder in folders}
    files = {"" if short[f] == "." else short[f]: tuple(names) for f, names in folders.items()}
    return Root(Path(top), files)


def _without(root: Root, packed: set[str]) -> Root:
    files = {
        folder: kept
        for folder, names in root.files.items()
        if (kept := tuple(n for n in names if n.endswith(".tar") or n.split("_")[0] not in packed))
    }
    return Root(root.path, files)
