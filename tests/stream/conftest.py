"""Tiny real packs: several shards, an image, a label, a box of varying size where asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dsets.field import Field
from dsets.pack import Pack, Statistics
from tests import packs

MakePack = Callable[..., Pack]


def _make(
    folder: Path, n: int, shards: int, size: tuple[int, int, int], layout: str, dtype: str
) -> Pack:
    random = np.random.default_rng(n)
    pixels = random.integers(0, 256, (n, *size)).astype(dtype)
    fields = (
        Field("image", dtype, size, layout),
        Field("label", "int64", ()),
        Field("weight", "float32", (3,)),
        Field("caption", "uint8", (None,)),
    )
    columns = {
        "image": pixels,
        "label": np.arange(n) % 10,
        "weight": random.random((n, 3), np.float32),
        "caption": [np.frombuffer(b"x" * (i % 4), np.uint8) for i in range(n)],
    }
    keys = [f"train/{i:05d}" for i in range(n)]
    exact = Statistics.of(pixels) if dtype == "uint8" else None
    return packs.written(folder, fields, keys, columns, shards=shards, statistics=exact)


@pytest.fixture(scope="session")
def make_pack(tmp_path_factory: pytest.TempPathFactory) -> MakePack:
    """``make_pack(n, shards=3, size=(8, 8, 3), layout="CHW", dtype="uint8")``; made once each."""
    made: dict[object, Pack] = {}

    def make(
        n: int,
        shards: int = 3,
        size: tuple[int, int, int] = (8, 8, 3),
        layout: str = "CHW",
        dtype: str = "uint8",
    ) -> Pack:
        arguments = (n, min(shards, n), size, layout, dtype)
        if arguments not in made:
            made[arguments] = _make(tmp_path_factory.mktemp("pack"), *arguments)
        return made[arguments]

    return make
