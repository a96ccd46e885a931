"""The dataset ``dots``: noise in three shades, in IDX files that a folder offers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

COUNTS = {"train": 40, "test": 12}
HEAD = """schema = 1
name = "dots"
title = "Dots"
homepage = "https://example.org"
licence = "CC0-1.0"
access = "open"
citation = "none"
reader = "idx"
pipeline = "as_is"
"""
FIELDS = """[field.image]
dtype = "uint8"
shape = [16, 16, 1]
[field.label]
dtype = "int64"
shape = []
classes = ["dark", "grey", "bright"]
"""


def publish(folder: Path) -> tuple[Path, Path]:
    """(where the files lie, where the manifest lies), both below ``folder``."""
    random = np.random.default_rng(3)
    mirror, manifests = folder / "mirror", folder / "manifests"
    mirror.mkdir()
    manifests.mkdir()
    files, splits = "", ""
    for split, count in COUNTS.items():
        labels = np.arange(count, dtype=np.uint8) % 3
        noise = random.integers(0, 100, (count, 16, 16))
        images = (60 * labels[:, None, None] + noise).astype(np.uint8)
        for name, values in ((f"{split}-images", images), (f"{split}-labels", labels)):
            sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
            data = bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()
            (mirror / name).write_bytes(data)
            files += f'[[file]]\nname = "{name}"\nbytes = {len(data)}\n'
            files += f'addresses = ["https://example.org/{name}"]\n'
            files += f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
        splits += f"[split.{split}]\nsamples = {count}\n"
        splits += f"training = {str(split == 'train').lower()}\n"
        splits += f'files = ["{split}-images", "{split}-labels"]\n[split.{split}.reader]\n'
        splits += f'image = "{split}-images"\nlabel = "{split}-labels"\n'
    (manifests / "dots.toml").write_text(HEAD + files + splits + FIELDS)
    return mirror, manifests
