"""A tiny dataset in IDX files, in the store of the test, made by integer arithmetic."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import manifest
from dsets.manifest import Manifest
from dsets.prepare import Plan, plan

MAIN = "import sys, dsets.cli; sys.exit(dsets.cli.main())"
SHAPE = (6, 5, 1)
COUNTS = {"train": 90, "test": 31}

#: A user's pipeline that does something before it passes a sample on.
RECIPE = """
import os, signal
from pathlib import Path
from dsets.errors import DataError

STATISTICS = "image"
HERE = Path({here!r})

def fields(manifest):
    return manifest.fields

def make(sample):
    {body}
    return sample.values
"""


@dataclass(frozen=True)
class Tiny:
    """The dataset ``tiny``: its manifest, raw arrays, and ways to prepare it."""

    manifest: Manifest
    folder: Path
    images: dict[str, np.ndarray]

    def shard_bytes(self, shards: int) -> int:
        """The shard size that gives the training split about so many shards."""
        return (30 + 8 + 32 + 3 * 4) * COUNTS["train"] // shards

    def plan(self, out: str = "out", *, shards: int = 9, **more: Any) -> Plan:
        folder = self.folder / out
        return plan(self.manifest, out=folder, shard_bytes=self.shard_bytes(shards), **more)

    def recipe(self, body: str, name: str = "mine") -> Path:
        """A user's pipeline that runs ``body`` for each sample before it passes it on."""
        path = self.folder / f"{name}.py"
        path.write_text(RECIPE.format(here=str(self.folder), body=body))
        return path

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """``dsets prepare tiny …`` in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", MAIN, "prepare", "tiny", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.tobytes()


@pytest.fixture
def tiny(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    raw = home / "raw" / "tiny"
    raw.mkdir(parents=True)
    (tmp_path / "manifests").mkdir()
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path / "manifests"))
    images = {}
    lines = [
        'schema = 1\nname = "tiny"\ntitle = "Tiny"\nhomepage = "https://example.org"',
        'licence = "CC0-1.0"\naccess = "open"\ncitation = "none"\nreader = "idx"',
        'pipeline = "as_is"',
    ]
    for split, count in COUNTS.items():
        numbers = np.arange(count * 30, dtype=np.uint32)
        images[split] = (numbers * 2654435761 >> 13).astype(np.uint8).reshape(count, *SHAPE)
        for kind, array in (
            ("images", images[split][..., 0]),
            ("labels", (np.arange(count) % 10).astype(np.uint8)),
        ):
            data = idx(array)
            (raw / f"{split}-{kind}").write_bytes(data)
            lines.append(
                f'[[file]]\nname = "{split}-{kind}"\nbytes = {len(data)}\n'
                f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
                f'addresses = ["https://example.org/{split}-{kind}"]'
            )
    for split, count in COUNTS.items():
        training = "true" if split == "train" else "false"
        lines.append(
            f"[split.{split}]\nsamples = {count}\ntraining = {training}\n"
            f'files = ["{split}-images", "{split}-labels"]\n'
            f'[split.{split}.reader]\nimage = "{split}-images"\nlabel = "{split}-labels"'
        )
    classes = ", ".join(f'"{digit}"' for digit in range(10))
    lines.append(f'[field.image]\ndtype = "uint8"\nshape = {list(SHAPE)}')
    lines.append(f'[field.label]\ndtype = "int64"\nshape = []\nclasses = [{classes}]')
    (tmp_path / "manifests" / "tiny.toml").write_text("\n".join(lines))
    return Tiny(manifest.find("tiny"), tmp_path, images)


@pytest.fixture
def hashes() -> Callable[[Path], dict[str, str]]:
    """Every file below a folder, by its path, with the sha256 of its bytes."""

    def of(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return of


@pytest.fixture
def debris() -> Callable[[Path], list[str]]:
    """What a finished job must not leave below a folder: parts, Dask's scratch folders."""

    def of(folder: Path) -> list[str]:
        return sorted(
            os.fspath(path.relative_to(folder))
            for path in folder.rglob("*")
            if ".part" in path.name or "dask" in path.name
        )

    return of
