"""A dataset of thirty generated pictures, called and packed as ImageNet's are."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("n01440764", "n01443537", "n02102040")
IDS = (2, 3, 1)
#: Of the twelve validation pictures, as ILSVRC ids and as classes.
TRUTH = [1, 2, 3, 3, 2, 1] * 2
WNIDS = [CLASSES[IDS.index(number)] for number in TRUTH]
TRAIN = [f"{wnid}_{number}.JPEG" for wnid in CLASSES for number in (7, 10, 9, 1, 30, 200)]
VAL = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 13)]
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
FILES = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", DEVKIT)


def pictures() -> dict[str, bytes]:
    """File name → bytes of all thirty."""
    return {name: _picture(seed) for seed, name in enumerate([*TRAIN, *VAL])}


def _picture(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    image = Image.fromarray(noise).resize((40 + seed, 30 + seed % 7))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=90)
    return data.getvalue()


def wnid(name: str) -> str:
    """The class of any of the pictures."""
    return WNIDS[VAL.index(name)] if name in VAL else name.partition("_")[0]


def tar(members: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def class_tars(backwards: bool = False) -> dict[str, bytes]:
    """``<wnid>.tar`` → bytes."""
    found = pictures()
    order = sorted(TRAIN, reverse=backwards)
    return {
        f"{one}.tar": tar({name: found[name] for name in order if wnid(name) == one})
        for one in (reversed(CLASSES) if backwards else CLASSES)
    }


def archives() -> dict[str, bytes]:
    """The official files."""
    found = pictures()
    truth = "".join(f"{number}\n" for number in TRUTH).encode()
    member = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
    return dict(
        zip(
            FILES,
            (
                tar(class_tars()),
                tar({name: found[name] for name in VAL}),
                gzip.compress(tar({member: truth}), mtime=0),
            ),
            strict=True,
        )
    )


def solution() -> bytes:
    """Kaggle's labels."""
    lines = [f"{name[:-5]},{wnid(name)} 1 2 30 40 {wnid(name)} 5 6 7 8" for name in reversed(VAL)]
    return "\n".join(["ImageId,PredictionString", *lines, ""]).encode()


def manifest_bytes() -> bytes:
    files = "".join(
        f'[[file]]\nname = "{name}"\nbytes = {len(data)}\n'
        f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n\n'
        for name, data in archives().items()
    )
    return (HEAD + files + REST).encode()


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files, by path below ``folder``."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def placed(names: Iterable[str], where: str) -> dict[str, bytes]:
    """Pictures by path; in ``where``, {name} and {wnid} are filled in."""
    found = pictures()
    return {where.format(name=name, wnid=wnid(name)): found[name] for name in names}


HEAD = """
schema = 1
name = "tinynet"
title = "Thirty pictures"
homepage = ""
licence = "CC0"
access = "login"
citation = "Nobody"
reader = "imagenet"
pipeline = "alexnet"

"""
REST = f"""
[split.train]
samples = 18
training = true
files = ["{FILES[0]}"]

[split.train.reader]
images = "{FILES[0]}"
layout = "tar of tars"
ilsvrc_ids = [2, 3, 1]

[split.val]
samples = 12
files = ["{FILES[1]}", "{FILES[2]}"]

[split.val.reader]
images = "{FILES[1]}"
layout = "tar"
truth = "{FILES[2]}"

[field.image]
dtype = "uint8"
shape = [-1]

[field.label]
dtype = "int64"
shape = []
classes = ["{CLASSES[0]}", "{CLASSES[1]}", "{CLASSES[2]}"]

[field.ilsvrc_id]
dtype = "int64"
shape = []
"""
