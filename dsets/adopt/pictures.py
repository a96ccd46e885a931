"""Pictures in folders of any nesting, recognised by their names alone, for the reader ``imagenet``.

    n01440764_10026.JPEG                 training, wherever it lies: in a folder of its class or not
    n01440764.tar                        the training pictures of a class, still in their tar
    ILSVRC2012_val_00000001.JPEG         validation; ILSVRC2012_test_00000001.JPEG: test

So Kaggle's layout, torchvision's, flattened folders and half-unpacked archives are all the same to
us; Kaggle's zip, which has all splits, does for each of them. Labels of val follow from the
development kit or the ground truth unpacked from it, from folders called by class, or from Kaggle's
LOC_val_solution.csv, whichever is there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dsets.adopt import claims, truths
from dsets.adopt.likeness import CLASS_TAR, KAGGLE, SOLUTION
from dsets.adopt.matching import plain
from dsets.adopt.parts import Chosen, Lack, Official, Part, Stranger, Tree
from dsets.adopt.shortfalls import class_samples, shortfalls
from dsets.adopt.trees import Folders, gathered, listable
from dsets.adopt.walk import Seen
from dsets.manifest import Manifest, Split
from dsets.readers import _imagenet_names

_ZIPPED = re.compile(r"imagenet-object-localization-challenge.*\.zip")
_PACKED = re.compile(r"imagenet_object_localization.*\.tar\.gz")
_BOXES = re.compile(r"(?:n\d{8}_\d{1,9}|ILSVRC20\d\d_[a-z]+_\d{8})\.xml")
_KAGGLE = "Kaggle's own file, no digest of it is published"


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
        self._truths: list[str] = []
        self._packed: list[str] = []
        self._zips: list[str] = []
        years = {str(one.options["images"])[: len("ILSVRC2012")] for one in manifest.splits}
        self._years = {year for year in years if year.startswith("ILSVRC")}
        self._boxes = self._unknown = 0
        self.unneeded = False  # whether loose pictures were found of what is official already

    def take(self, seen: Seen) -> bool:
        """Keep the file if it is a picture, a class's tar, or labels."""
        name = seen.name
        if found := _imagenet_names.parsed(name):
            split = found.stem.split("_")[1] if found.stem else self._training
            other = found.stem and not found.stem.startswith(tuple(self._years))
            if split not in self._splits or other or not self._known(found.wnid):
                self._unknown += 1
            else:
                self._keep(split, seen)
            return True
        if (tar := CLASS_TAR.fullmatch(name)) and self._known(tar[1]):
            self._keep(self._training, seen)
            return True
        if plain(name) == plain(SOLUTION):
            self._solutions.append(seen.path)
            return True
        if name.endswith(truths.SUFFIX) and name.startswith(tuple(f"{y}_v" for y in self._years)):
            self._truths.append(seen.path)
            return True
        if _ZIPPED.fullmatch(name) and self._years == {"ILSVRC2012"}:
            self._zips.append(seen.path)
            return True
        if _PACKED.fullmatch(name):
            self._packed.append(seen.path)
            return True
        if _BOXES.fullmatch(name):
            self._boxes += 1
            return True
        return False

    def take_zip(self, path: str) -> None:
        """Keep a file whose members are those of Kaggle's zip, whatever it is called."""
        self._zips.append(path)

    def _known(self, wnid: str) -> bool:
        """Whether a class is the dataset's; any is where the archive says which there are."""
        return not wnid or not self._classes or wnid in self._classes

    def _keep(self, split: str, seen: Seen) -> None:
        folders = self._found.setdefault((split, seen.top if not seen.named else ""), {})
        folders.setdefault(seen.folder, []).append(seen.name)

    def notes(self) -> Iterator[str]:
        """What was seen and is of no use."""
        for path in self._packed:
            yield (
                f"{path}: Kaggle's tar.gz cannot be entered in the middle; unpack it (single "
                f"pictures, which take the same space), then adopt the folder and {SOLUTION}"
            )
        for path in self._zips[1:]:
            yield f"{path}: Kaggle's zip once more; {self._zips[0]} is taken"
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
        elif self._zips and images == self._zip:
            options |= {"layout": "zip", "pictures": split.name}
        patches = str(options.pop("patches", ""))
        if patches in parts and options["layout"] != "zip":
            chosen.append(parts[patches])
            options["patches"] = parts[patches].name
        elif patches:
            lacks.append(Lack(split.name, patches, f"pictures of {split.name} that are blank else"))
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
            kits = [str(one.path) for one in [parts.get(str(truth))] if isinstance(one, Stranger)]
            zips = self._zips[:1] if options["layout"] == "zip" else []
            said = {"truth": [*self._truths, *kits], "solution": [*self._solutions, *zips]}
            taken, option = (labels[1] or [images])[0], next(iter(labels[0]))
            notes += claims.compared(self._manifest, split, option, taken, said)
        if not all(isinstance(part, Official) for part in chosen):
            # A split that is official otherwise stays so: without boxes that nobody published.
            names = split.options.get("boxes", ())
            boxes = [parts[name] for name in names if name in parts]
            strange = {box.called: box for box in boxes if isinstance(box, Stranger)}
            chosen += strange.values()
            if strange:
                options["boxes"] = tuple(
                    strange[name].name if name in strange else name for name in names
                )
        return Chosen(split, tuple(chosen), options), lacks

    def _images(
        self, split: Split, parts: Mapping[str, Part], notes: list[str]
    ) -> tuple[Part | None, list[Lack]]:
        name = str(split.options["images"])
        archive = parts.get(name)
        truth = split.options.get("truth")
        unlabelled = truth is not None and truth not in parts and not self._labels_apart()
        if isinstance(archive, Official) and not unlabelled:
            if any(found == split.name for found, _ in self._found):
                self.unneeded = True
                notes.append(f"loose pictures of {split.name}: not needed, {name} is official")
            return archive, []
        tree = self._tree(split, notes, unlabelled)
        counts = self._counts(split, tree) if tree else {}
        got = sum(counts.values())
        only = bool(tree and unlabelled and self._in_class_folders(tree))
        alone = archive is None and not self._zips
        if tree and (alone or only or got >= split.samples):
            if archive and only:
                notes.append(
                    f"{name}: {truth}, which says its labels, is not here; pictures in folders "
                    "called by class are taken instead"
                )
            return tree, self._short(split, tree, counts)
        if tree and archive:
            notes.append(f"loose pictures of {split.name}: {archive.name} is taken instead")
        if archive is None and self._zips:
            if tree:
                notes.append(f"loose pictures of {split.name}: {self._zips[0]} is taken instead")
            return self._zip, []
        if archive is None:
            return None, [Lack(split.name, name, f"the pictures of {split.name}", split.samples, 0)]
        return archive, []

    def _labels(
        self, split: Split, images: Part, truth: Part | None, notes: list[str]
    ) -> tuple[dict[str, str], list[Part]] | None:
        """The option that says where labels come from, and the file it needs."""
        if isinstance(truth, Official):
            return {"truth": truth.name}, [truth]
        kit = self._manifest.file(str(split.options["truth"]))
        if found := truths.proved(self._truths, kit):
            return {"truth": found.name}, [found]
        inside = truths.within(truth.path) if isinstance(truth, Stranger) else None
        if truth and inside is not None and truths.published(inside, kit):
            return {"truth": truth.name}, [truth]
        known = self._years == {"ILSVRC2012"}
        unproved = truths.unproved(self._truths, kit) if known else None
        if isinstance(images, Tree) and self._in_class_folders(images):
            # What proves nothing may still contradict them; the reader compares.
            if against := truth if inside is not None else unproved:
                return {"truth": against.name}, [against]
            return {"labels": "folder"}, []
        if self._solutions:
            for path in self._solutions[1:]:
                notes.append(f"{path}: {SOLUTION} once more; {self._solutions[0]} is taken")
            found = Stranger(SOLUTION, Path(self._solutions[0]), _KAGGLE)
            return {"solution": found.name}, [found]
        if self._zips:
            return {"solution": self._zip.name}, [] if images == self._zip else [self._zip]
        if unproved:
            return {"truth": unproved.name}, [unproved]
        if truth is not None:
            return {"truth": truth.name}, [truth]
        return None

    @property
    def _zip(self) -> Stranger:
        return Stranger(KAGGLE, Path(self._zips[0]), _KAGGLE)

    def _labels_apart(self) -> bool:
        """Whether a file beside the pictures says their labels."""
        return bool(self._solutions or self._truths or self._zips)

    def _in_class_folders(self, tree: Tree) -> bool:
        return all(self._is_class(folder) for root in tree.roots for folder in root.files)

    def _is_class(self, folder: str) -> bool:
        return os.path.basename(folder) in self._classes

    def _tree(self, split: Split, notes: list[str], labelled: bool) -> Tree | None:
        """The loose pictures of a split; ``labelled``: if any lie in folders of classes, those."""
        found = [
            listable(folders, notes)
            for (name, _), folders in sorted(self._found.items())
            if name == split.name
        ]
        if labelled:
            known = [
                {folder: names for folder, names in folders.items() if self._is_class(folder)}
                for folders in found
            ]
            if any(known):
                left = _count(found) - _count(known)
                if left:
                    notes.append(
                        f"{left:,} pictures of {split.name} lie in no folder of a class, and "
                        "nothing else says their labels; not used"
                    )
                found = known
        return gathered(split.name, [one for one in found if one], self._classes, notes)

    def _counts(self, split: Split, tree: Tree) -> dict[str, int]:
        """Pictures by class ("" where names don't tell); tars count as what they should hold."""
        samples = class_samples(split, self._classes)
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


def _count(found: Sequence[Folders]) -> int:
    return sum(len(names) for folders in found for names in folders.values())
