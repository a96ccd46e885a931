"""What an archive of ImageNet's that has another name holds, told by its first members.

    n01440764.tar, …                         the training archive, a tar of the classes' tars
    ILSVRC2012_val_00000001.JPEG, …          an archive of pictures of val; _test_: of test
    …_validation_ground_truth.txt            the development kit
    ILSVRC/Data/CLS-LOC/… in a zip           Kaggle's zip, or pictures beside LOC_val_solution.csv

Only files that the user named are looked into.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path

from dsets.adopt import truths
from dsets.archive import tar, zipindex
from dsets.archive.stream import Stream
from dsets.errors import DataError
from dsets.manifest import Manifest
from dsets.readers import _imagenet_names

KAGGLE = "imagenet-object-localization-challenge.zip"
SOLUTION = "LOC_val_solution.csv"
CLASS_TAR = re.compile(r"(n\d{8})\.tar")
_LAYOUT = "/CLS-LOC/"
_ZIP, _GZIP = b"PK\3\4", b"\x1f\x8b"
_MEMBERS = 64  # that are looked at before a tar counts as nothing of ours
_INFLATED_BYTES = 64 << 20
_UNLIMITED = 1 << 62  # of what is skipped without being read


def told(path: Path, manifest: Manifest) -> tuple[str | None, str]:
    """The name of the official file, or KAGGLE, in whose place an archive can stand; else why not.

    The file is read at a few places only, and nothing of it is trusted: a reader tries it later.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_ZIP))
        if magic == _ZIP:
            return _zip(path, manifest)
        return _tar(path, manifest, magic.startswith(_GZIP))
    except DataError as error:
        return None, error.what
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"


def _zip(path: Path, manifest: Manifest) -> tuple[str | None, str]:
    names = zipindex.members(path)
    pictures = [name for name in names if _imagenet_names.parsed(os.path.basename(name))]
    solved = any(os.path.basename(name) == SOLUTION for name in names)
    theirs = any(str(one.options["images"]).startswith("ILSVRC2012") for one in manifest.splits)
    if theirs and (any(_LAYOUT in f"/{name}" for name in pictures) or (pictures and solved)):
        return KAGGLE, ""
    return None, "a zip, but not with the members of Kaggle's"


def _tar(path: Path, manifest: Manifest, packed: bool) -> tuple[str | None, str]:
    classes = next((field.classes for field in manifest.fields if field.classes), ())
    limit = _INFLATED_BYTES if packed else _UNLIMITED
    seen = ""
    with Stream(path, limit, sparsely=not packed) as stream:
        if not tar.looks_like(stream.peek(tar.BLOCK_BYTES)):
            return None, "neither a tar nor a zip"
        for name in _names(stream):
            if (found := _official(name, _options(manifest), classes)) is not None:
                return found, ""
            if wnid := getattr(_imagenet_names.parsed(os.path.basename(name)), "wnid", ""):
                return None, f"pictures of one class: call it {wnid}.tar, and it is taken for them"
            seen = seen or name
    return None, f"an archive of other files, the first {seen!r}" if seen else "an empty archive"


def _names(stream: Stream) -> Iterator[str]:
    for entry, _ in islice(tar.walk(stream), _MEMBERS):
        yield entry.name


def _options(manifest: Manifest) -> dict[str, Mapping[str, object]]:
    return {
        "train" if split.training else split.name: split.options
        for split in manifest.splits
        if not split.on_request
    }


def _official(
    name: str, options: Mapping[str, Mapping[str, object]], classes: Collection[str]
) -> str | None:
    """The official archive that has a member of this name."""
    base = os.path.basename(name)
    train = options.get("train", {})
    inner = CLASS_TAR.fullmatch(base)
    if inner and train.get("layout") == "tar of tars" and (not classes or inner[1] in classes):
        return str(train["images"])
    for split, of in options.items():
        stem = f"{str(of['images'])[: len('ILSVRC2012')]}_"
        picture = _imagenet_names.parsed(base)
        if picture and picture.stem == f"{stem}{split}_" and of.get("layout") == "tar":
            return str(of["images"])
        if "truth" in of and base.startswith(stem) and base.endswith(truths.SUFFIX):
            return str(of["truth"])
    return None
