"""A tiny ImageNet in every layout that people have it in, and manifests that describe it."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dsets.field import Field
from dsets.manifest import File, Source, Split
from dsets.readers import _listing, imagenet
from tests.readers import raw

WNIDS = ("n01440764", "n01443537", "n02105855")
IDS = (449, 2, 193)
FIELDS = (
    Field("image", "uint8", (None,)),
    Field("label", "int64", (), classes=WNIDS),
    Field("ilsvrc_id", "int64", ()),
    Field("boxes", "float32", (None, 4)),
)
#: In the official order: by class, then by number, which is not the order of the text.
TRAIN = ("n01440764_2", "n01440764_10", "n01440764_10026", "n02105855_7", "n02105855_2933")
VAL = ("ILSVRC2012_val_00000002", "ILSVRC2012_val_00000003", "ILSVRC2012_val_00000007")
TEST = ("ILSVRC2012_test_00000001", "ILSVRC2012_test_00000002")
VAL_LABELS = (2, 0, 1)
GROUND_TRUTH = b"449\n193\n449\n2\n2\n2\n2\n193\n"  # one line a number, from 1
SOLUTION = (
    b"ImageId,PredictionString\n"
    b"ILSVRC2012_val_00000007,n01443537 1 2 3 4 n01443537 5 6 7 8 \n"
    b"ILSVRC2012_val_00000002,n02105855 1 2 3 4 \n"
    b"ILSVRC2012_val_00000003,n01440764 1 2 3 4 \n"
)


def picture(key: str) -> bytes:
    """A small JPEG, or (as one of the real ones) a PNG; each key's has other bytes, and a size of
    its own."""
    note, out = key * (1 + len(key) % 7), io.BytesIO()
    image = Image.new("RGB", (4, 3), (len(key), 0, 0))
    if key == "n02105855_2933":
        text = PngInfo()
        text.add_text("Title", note)
        image.save(out, "PNG", pnginfo=text)
    else:
        image.save(out, "JPEG", comment=note)
    return out.getvalue()


def tar(members: Mapping[str, bytes] | Sequence[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    pairs = members.items() if isinstance(members, Mapping) else members
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in pairs:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def pictures(keys: Sequence[str], folder: str = "", suffix: str = ".JPEG") -> dict[str, bytes]:
    return {f"{folder}{key}{suffix}": picture(key) for key in keys}


def tar_of_tars(keys: Sequence[str] = TRAIN, prefix: str = "") -> bytes:
    """Classes and pictures come in the wrong order, as a file system may give them."""
    wnids = sorted({key.partition("_")[0] for key in keys}, reverse=True)
    inner = {wnid: sorted((k for k in keys if k.startswith(wnid)), reverse=True) for wnid in wnids}
    return tar({f"{prefix}{wnid}.tar": tar(pictures(inner[wnid])) for wnid in wnids})


def folder(root: Path, files: Mapping[str, bytes]) -> bytes:
    """Loose files below ``root``, and the bytes of their listing."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return b"".join(
        _listing.line(_listing.Entry(name, len(content), hashlib.sha256(content).digest()))
        for name, content in sorted(files.items())
    )


def source(
    root: Path,
    files: Mapping[str, bytes],
    split: str = "train",
    fields: Sequence[Field] = FIELDS,
    *,
    samples: int | None = None,
    withheld: Sequence[str] = (),
    **options: Any,
) -> Source:
    """A source whose split has the first of ``files`` as its pictures and the others beside it."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / name).write_bytes(content)
    optional = tuple(options.get("boxes", ()))
    declared = [
        File(name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in files.items()
        if name not in optional
    ]
    needed = tuple(file.name for file in declared)
    images = next(iter(files))
    count = len({"train": TRAIN, "val": VAL, "test": TEST}[split]) if samples is None else samples
    options = {"images": images, "layout": "tar", **options}
    splits = [Split("train", len(TRAIN), needed, True, {"ilsvrc_ids": IDS, **options})]
    if split != "train":
        splits.append(Split(split, count, needed, False, options, tuple(withheld)))
    else:
        splits = [Split("train", count, needed, True, {"ilsvrc_ids": IDS, **options})]
    declared += [File(name) for name in optional]
    manifest = raw.manifest_of("imagenet", declared, splits, fields)
    return Source(manifest, manifest.split(split), root)


def layouts(root: Path) -> dict[str, Source]:
    """The same training pictures, as they are found in the wild."""
    by_class = {f"{key.partition('_')[0]}/{key}": picture(key) for key in reversed(TRAIN)}
    flat = pictures(sorted(TRAIN))
    inner = {
        f"some/where/{wnid}.tar": tar(pictures([k for k in TRAIN if k.startswith(wnid)]))
        for wnid in WNIDS
    }
    mixed = {**inner}
    del mixed[f"some/where/{WNIDS[2]}.tar"]
    mixed |= pictures(TRAIN[3:], f"ILSVRC/Data/CLS-LOC/train/{WNIDS[2]}/", ".jpg")
    readme = {"README.txt": b"hello", "n01440764/.DS_Store": b"\0\0", ".hidden.JPEG": b"x"}

    def made(name: str, content: bytes, layout: str) -> Source:
        return source(root / name, {f"{name}.listing": content}, layout=layout)

    return {
        "official": made("a", tar_of_tars(), "tar of tars"),
        "dotted": made("b", tar_of_tars(prefix="./train/"), "tar of tars"),
        "flat tar": made("c", tar({**flat, "README.txt": b"hello"}), "tar"),
        "tar of folders": made(
            "d", tar({f"./x/{name}.JPEG": data for name, data in by_class.items()} | readme), "tar"
        ),
        "folders": made(
            "e",
            folder(root / "e/e", {f"{name}.JPEG": data for name, data in by_class.items()}),
            "listing",
        ),
        "flat folder": made("f", folder(root / "f/f", flat | readme), "listing"),
        "inner tars": made("g", folder(root / "g/g", inner), "listing"),
        "mixed": made("h", folder(root / "h/h", mixed), "listing"),
    }


def annotation(*boxes: Sequence[object], declaration: str = "") -> bytes:
    names = ("xmin", "ymin", "xmax", "ymax")
    text = "".join(
        "<object><name>n0</name><bndbox>"
        + "".join(f"<{n}>{v}</{n}>" for n, v in zip(names, box, strict=False))
        + "</bndbox></object>"
        for box in boxes
    )
    return f"{declaration}<annotation><size><width>500</width></size>{text}</annotation>".encode()


def official(root: Path, **more: Any) -> Source:
    return source(root, {"train.tar": tar_of_tars()}, layout="tar of tars", **more)


def of(root: Path, members: Mapping[str, bytes], split: str = "train", **more: Any) -> Source:
    return source(root, {"images.tar": tar(members)}, split, **more)


def devkit(truth: bytes = GROUND_TRUTH) -> bytes:
    name = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
    return gzip.compress(tar({"ILSVRC2012_devkit_t12/readme.txt": b"hello", name: truth}))


def val(root: Path, truth: bytes, kind: str = "truth", **more: Any) -> Source:
    files = {"val.tar": tar(pictures(VAL, "./")), "labels": truth}
    return source(root, files, "val", **{kind: "labels"}, **more)


def keys_and_bytes(source: Source) -> list[tuple[str, bytes]]:
    found = imagenet.samples(source, [4, 0, 2])
    return [(sample.key, sample.values["image"]) for sample in found]
