"""A tiny Open Images: tables of 30 pictures, and the manifest that names them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from dsets import fetch, manifest, readers, store, subset
from dsets.fetch import Patience
from dsets.field import Field
from dsets.manifest import File, Source, Split
from dsets.readers._openimages_options import FIELDS
from dsets.subset import Selection
from tests.readers.raw import manifest_of
from tests.subset import tiny

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
HEADER += ",IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
CLASSES = {"/m/01yrx": "Cat", "/m/0bt9lr": "Dog", "/m/04dr76w": "Bottle", "/m/068hy": "Pet"}


def key(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()[:16]


def boxes() -> str:
    """Picture i has a cat if i is even, a bottle always, and a dog if it is divisible by 3."""
    rows = []
    for i in range(30):
        mids = ["/m/04dr76w", *(["/m/01yrx"] if i % 2 == 0 else [])]
        mids += ["/m/0bt9lr"] if i % 3 == 0 else []
        rows += [f"{key(i)},xclick,{mid},1,0.1,0.5,0.2,0.9,0,-1,0,0,0\n" for mid in mids]
    return HEADER + "".join(rows)


def labels() -> str:
    rows = [f"{key(i)},verification,/m/07j7r,{i % 2}\n" for i in range(30)]
    return "ImageID,Source,LabelName,Confidence\n" + "".join(rows)


def files() -> dict[str, bytes]:
    """File name → bytes."""
    return {"boxes.csv": boxes().encode(), "labels.csv": labels().encode()}


def catalogue(folder: Path, contents: Mapping[str, bytes], url: str) -> Path:
    """A folder for DSETS_MANIFESTS with the manifest ``pictures`` of these tables at ``url``, where
    the images lie one by one."""
    files = [File("train.tar.gz", (f"{url}/train.tar.gz",), singly=(f"{url}/train",))]
    files += [
        File(name, (f"{url}/{name}",), sha256=hashlib.sha256(data).hexdigest())
        for name, data in contents.items()
    ]
    options = {
        "images": ("train.tar.gz",),
        "boxes": "boxes.csv",
        "human_labels": ("labels.csv",),
        "mids": tuple(CLASSES),
        "subclasses": {"Bottle": ("Pet",), "Pet": ("Cat", "Dog")},
    }
    split = Split("train", 30, ("train.tar.gz", "boxes.csv"), True, options)
    given = fields(("image", "boxes", "labels", "human_mids"), tuple(CLASSES.values()))
    made = manifest_of("openimages", files, [split], given)
    return tiny.written(folder, "pictures", "detection", made)


def fields(names: Sequence[str], classes: tuple[str, ...]) -> list[Field]:
    """These fields; ``labels`` are of these classes."""
    return [Field(n, *FIELDS[n], classes=classes if n == "labels" else ()) for n in names]


def made(selection: Selection, *annotations: str) -> subset.Made:
    parent = manifest.find("pictures")
    fetch.files(fetch.plan(parent, store.raw("pictures"), files=annotations))
    plan = subset.plan(parent, selection, "mine")
    return subset.make(plan, patience=Patience(connect_s=5, read_s=0.5, pause_s=0))


def samples() -> list[readers.Sample]:
    found = manifest.find("mine")
    source = Source(found, found.split("train"), store.raw("mine"))
    reader = readers.load(found.reader)
    return list(reader.samples(source, range(len(reader.table(source)))))


def flipped(picture: bytes) -> bytes:
    """It decodes as well as before."""
    place = len(picture) - 5
    return picture[:place] + bytes([picture[place] ^ 1]) + picture[place + 1 :]
