"""Tables, tars and masks of a tiny Open Images, and the source that describes them."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dsets.field import Field
from dsets.manifest import File, Source, Split
from dsets.readers import Sample, openimages
from dsets.readers._openimages_options import FIELDS
from tests.readers import raw

A, B, C = "00000000000000a1", "00000000000000b2", "f0000000000000c3"
CLASSES, MIDS = ("Cat", "Dog"), ("/m/01yrx", "/m/0bt9lr")
BOX = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
FLAGS = "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
LABEL = "ImageID,Source,LabelName,Confidence"
GOOD = f"{A},xclick,/m/01yrx,1,0,1,0,0.5"


def jpeg(width: int = 20, height: int = 10) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 90)).save(out, "JPEG")
    return out.getvalue()


def tar(names: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        root = tarfile.TarInfo("/")
        root.type = tarfile.DIRTYPE
        archive.addfile(root)
        for name, data in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def table(head: str, *rows: str) -> bytes:
    return "\n".join([head, *rows, ""] if head else [*rows, ""]).encode()


def packed(names: Mapping[str, bytes], compressed: bool) -> bytes:
    return gzip.compress(tar(names)) if compressed else tar(names)


FROM_B = {"boxes": "b.csv"}
TARS = {
    "train_0.tar": tar({f"train_0/{B}.jpg": jpeg(), f"train_0/{A}.jpg": jpeg(40, 10)}),
    "train_f.tar": tar({f"test/{C}.jpg": jpeg(), "test/notes.txt": b"?"}),
}
BOXES = table(
    f"{BOX},{FLAGS}",
    f"{A},xclick,/m/0bt9lr,1,0.25,0.5,0,1,-1,1,0,-1,1",
    f"{C},other,/m/01yrx,1,0,1,0,0.5,0,0,1,1,-1",
    f"{A},activemil,/m/01yrx,0.5,0,0.1,0,0.1,,0,0,0,0",
    f"{'9' * 16},xclick,/m/01yrx,1,0,1,0,1,0,0,0,0,0",
)


def masks(name: str = f"{A}_m0bt9lr_1a2b3c4d.png") -> bytes:
    """A zip of one mask, of the upper left quarter."""
    mask = np.zeros((20, 20), np.uint8)  # of another size than the picture, 10 x 40
    mask[:10, :10] = 255
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, png(mask))
    return out.getvalue()


def source(
    root: Path, files: Mapping[str, bytes], options: Mapping[str, Any], *fields: str
) -> Source:
    """A split of these files; what an option names in a list is optional."""
    for name, data in files.items():
        (root / name).write_bytes(data)
    images = [name for name in files if ".tar" in name]
    named = [value for value in options.values() if isinstance(value, str) and value in files]
    wanted = fields or ("image", "boxes", "labels", "occluded", "group_of", "sources")
    split = Split(
        "train", 3, (*images, *named), True, {"images": images, "mids": MIDS} | dict(options)
    )
    made = [
        Field(name, *FIELDS[name], classes=CLASSES if name == "labels" else ())
        for name in dict.fromkeys(("image", "labels", *wanted))
    ]
    known = [*files, *(n for v in options.values() if isinstance(v, list) for n in v)]
    listed = [File(name) for name in dict.fromkeys(known)]
    return Source(raw.manifest_of("openimages", listed, [split], made), split, root)


def read(one: Source) -> dict[str, Sample]:
    openimages.check(one)
    rows = range(len(openimages.table(one)))
    return {sample.key: sample for sample in openimages.samples(one, rows)}


ROTATED = "ImageID,Subset,Title,Rotation"
