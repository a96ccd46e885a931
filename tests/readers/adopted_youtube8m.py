"""A tiny YouTube-8M in the store, adopted, and its samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsets import adopt, manifest, readers, store
from dsets.manifest import Manifest, Source
from tests.readers import tiny_youtube8m as tiny


def adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, given: Path) -> Manifest:
    """What is in force after ``given`` was adopted as the dataset ``tinytube``."""
    folder = tiny.manifest(tmp_path / "catalogue", level)
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    adopt.adopt(adopt.plan(manifest.find("tinytube"), [given]), unverified=True)
    return manifest.current("tinytube")


def source_of(found: Manifest, split: str = "train") -> Source:
    return Source(found, found.split(split), store.raw(found.name))


def read(source: Source) -> list[readers.Sample]:
    reader = readers.load(source.manifest.reader)
    return list(reader.samples(source, range(len(reader.table(source)))))
