"""Small packs of every kind of field, made by integer arithmetic: the same bytes everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import pack
from dsets.field import Field
from dsets.pack import Pack, Quarantined, Shard, Statistics

FIELDS = (
    Field("image", "uint8", (4, 5, 3), "CHW"),
    Field("label", "int64", (), classes=("cat", "dog")),
    Field("jpeg", "uint8", (None,)),
    Field("boxes", "float32", (None, 4)),
    Field("mask", "uint8", (None, None, 2), "CHW"),
    Field("flag", "bool", (3,)),
    Field("half", "float16", (2,)),
)


def value(field: Field, number: int) -> Any:
    """The value of a field in sample ``number``; sizes that vary may be 0."""
    shape = [
        size if size is not None else (number + 2 * axis) % 5
        for axis, size in enumerate(field.shape)
    ]
    counts = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    mixed = (counts * 37 + number * 101 + len(field.name)) % 251
    return mixed % 2 == 1 if field.dtype == "bool" else mixed.astype(field.dtype)


def key(number: int) -> str:
    return f"train/{number:05}" if number % 2 else f"träin/{number:05}"


def columns(first: int, last: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        field.name: [value(field, number) for number in range(first, last)] for field in FIELDS
    }
    found["image"] = np.stack(found["image"])
    return found


def write_shard(folder: Path, number: int, first: int, last: int) -> Shard:
    keys = [key(sample) for sample in range(first, last)]
    path = folder / f"shard-{number:05}.h5"
    return pack.shard.write(path, FIELDS, keys, columns(first, last))


def write_pack(folder: Path, samples: int = 10, per_shard: int = 4) -> Path:
    starts = range(0, samples, per_shard)
    shards = [
        write_shard(folder, number, first, min(first + per_shard, samples))
        for number, first in enumerate(starts)
    ]
    images = np.stack([value(FIELDS[0], number) for number in range(samples)])
    pack.finish(
        folder,
        split="train",
        fields=FIELDS,
        shards=shards,
        statistics=Statistics.of(images),
        statistics_of=None,
        quarantine=[Quarantined("train/99999", "cut short", "5" * 64)],
        samples_digest=pack.samples_digest(key(number) for number in range(samples)),
        provenance={"dataset": "made up", "versions": {"dsets": "0.1.0"}},
    )
    return folder


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of ten samples in three shards, with statistics and one sample in quarantine."""
    return write_pack(tmp_path_factory.mktemp("pack") / "original")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of that pack, to damage."""
    return shutil.copytree(original, tmp_path / "pack")


@pytest.fixture
def opened(folder: Path) -> Pack:
    return Pack.open(folder)


@pytest.fixture
def made() -> Callable[[Field, int], Any]:
    """What a sample of the packs above holds: ``made(field, number)``."""
    return value


@pytest.fixture
def shard(tmp_path: Path) -> Callable[..., Shard]:
    """Write one shard of such a pack: ``shard(number, first, last)``."""
    return lambda *arguments: write_shard(tmp_path, *arguments)


@pytest.fixture
def make() -> Callable[..., Path]:
    """Write such a pack: ``make(folder, samples, per_shard)``."""
    return write_pack
