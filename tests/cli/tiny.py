"""A dataset of twelve images in MNIST's format, with a manifest that users could have written."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path


def files() -> dict[str, bytes]:
    """File name → bytes."""
    return {
        f"{split}-{kind}.gz": gzip.compress(
            idx((count, 4, 4) if kind == "images" else (count,)), mtime=0
        )
        for split, count in (("train", 8), ("test", 4))
        for kind in ("images", "labels")
    }


def idx(shape: Sequence[int]) -> bytes:
    """An IDX file of uint8 values that stay below 10."""
    size = 1
    for n in shape:
        size *= n
    head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    return head + bytes(n % 10 for n in range(size))


def catalogue(folder: Path, contents: Mapping[str, bytes], access: str = "open") -> Path:
    """A folder for DSETS_MANIFESTS with the manifest ``tiny`` of these files."""
    entries = "".join(
        f'[[file]]\nname = "{name}"\nbytes = {len(data)}\n'
        f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n\n'
        for name, data in contents.items()
    )
    folder.mkdir()
    (folder / "tiny.toml").write_text(MANIFEST.format(access=access) + entries + SPLITS)
    return folder


MANIFEST = """
schema = 1
name = "tiny"
title = "Tiny digits"
homepage = "https://example.org/tiny"
licence = "CC0-1.0"
access = "{access}"
citation = "Nobody: Nothing, 2026."
reader = "idx"
pipeline = "as_is"
notes = "Made by the tests."

"""
SPLITS = """
[split.train]
samples = 8
training = true
files = ["train-images.gz", "train-labels.gz"]

[split.train.reader]
image = "train-images.gz"
label = "train-labels.gz"

[split.test]
samples = 4
files = ["test-images.gz", "test-labels.gz"]

[split.test.reader]
image = "test-images.gz"
label = "test-labels.gz"

[field.image]
dtype = "uint8"
shape = [4, 4, 1]

[field.label]
dtype = "int64"
shape = []
classes = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
"""
