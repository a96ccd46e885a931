"""What several files and folders claim about the labels of the same pictures, compared.

The reader compares folders with the file that labels are taken from. Here that file, or the
folders, are compared with those that are not taken: Kaggle's table beside a development kit, say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsets.adopt import truths
from dsets.adopt.parts import Official, Part, Tree
from dsets.archive.stream import Stream
from dsets.errors import AdoptError, DataError
from dsets.manifest import Manifest, Split
from dsets.readers import _imagenet_names, _imagenet_truth

#: Class index by a picture's number, -1 where nothing is claimed.
Labels = npt.NDArray[np.int64]


def compared(
    manifest: Manifest,
    split: Split,
    option: str,
    taken: Part,
    others: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """A note for each of ``others`` that contradicts ``taken``, if that is as published.

    ``option`` is that of the reader: ``truth``, ``solution`` or ``labels`` (of folders); ``others``
    are paths by such an option. What cannot be read contradicts nothing.

    Raises:
        AdoptError: one contradicts it, and nothing proves which of them is right.
    """
    classes = next((field.classes for field in manifest.fields if field.classes), ())
    stem = f"{str(split.options['images'])[: len('ILSVRC2012')]}_{split.name}_"
    path = taken.roots[0].path if isinstance(taken, Tree) else taken.path
    rest = {
        Path(other): kind
        for kind, paths in others.items()
        for other in paths
        if os.path.realpath(other) != os.path.realpath(path)
    }
    if not rest:
        return
    if isinstance(taken, Tree):
        ours = _of_folders(taken, classes)
    else:
        ours = _of_file(path, option, manifest, stem)
    for other, kind in rest.items():
        theirs = _of_file(other, kind, manifest, stem)
        common = min(len(ours), len(theirs))
        both = (ours[:common] >= 0) & (theirs[:common] >= 0)
        wrong = np.flatnonzero(both & (ours[:common] != theirs[:common]))
        if not wrong.size:
            continue
        what = f"contradicts the labels of {split.name} ({wrong.size} pictures)"
        if not isinstance(taken, Tree) and _proved(taken, manifest, split):
            yield f"{other}: {what}; not used, {taken.name} has the published ones"
            continue
        key = _imagenet_names.key("", stem, int(wrong[0]))
        raise AdoptError(
            what,
            where=other,
            expected=f"{classes[ours[wrong[0]]]} for {key}, as with {path}",
            got=classes[theirs[wrong[0]]],
            remedy="name only files and folders that are right",
        )


def _of_folders(tree: Tree, classes: Sequence[str]) -> Labels:
    label: Mapping[str, int] = {wnid: index for index, wnid in enumerate(classes)}
    claimed: dict[int, int] = {}
    for root in tree.roots:
        for folder, names in root.files.items():
            index = label.get(os.path.basename(folder), -1)
            for name in names:
                picture = _imagenet_names.parsed(name)
                if picture and picture.stem:
                    claimed[picture.number] = index
    table = np.full(max(claimed, default=-1) + 1, -1, np.int64)
    table[list(claimed)] = list(claimed.values())
    return table


def _of_file(path: Path, option: str, manifest: Manifest, stem: str) -> Labels:
    """What a file claims; nothing where it cannot be read, which is told where it is taken."""
    classes = next((field.classes for field in manifest.fields if field.classes), ())
    training = manifest.training
    ids = training.options.get("ilsvrc_ids", ()) if training else ()
    try:
        with Stream(path, _imagenet_truth.LIMIT_BYTES) as stream:
            if option == "truth":
                return _imagenet_truth.ground_truth(stream, ids)
            return _imagenet_truth.solution(stream, classes, stem)
    except (DataError, OSError):
        return np.empty(0, np.int64)


def _proved(taken: Part, manifest: Manifest, split: Split) -> bool:
    """Whether the bytes of the labels that are taken are the published ones."""
    if isinstance(taken, (Official, Tree)):
        return isinstance(taken, Official)
    kit = manifest.file(str(split.options["truth"]))
    inside = truths.within(taken.path)
    bare = truths.proved([str(taken.path)], kit) is not None
    return bare or (inside is not None and truths.published(inside, kit))
