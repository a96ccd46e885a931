"""A remote pack whose images are encoded: every recipe reads only what is held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import remote
from dsets.field import Field
from dsets.stream import Window, batches
from dsets.transforms import Flip, Normalise, PadCrop, RandomResizedCrop
from tests import packs
from tests.codecs import jpegs
from tests.server import Route, serving

NORMALISE = Normalise((120, 110, 100), (60, 50, 40))


@pytest.mark.parametrize(
    "recipe", [[], [RandomResizedCrop(20)], [Flip()], [PadCrop(2), Flip(), NORMALISE]]
)
def test_it_gives_what_the_local_pack_gives_with_a_small_cache_too(
    tmp_path: Path, recipe: list[Any]
) -> None:
    images = [np.frombuffer(jpegs.jpeg(40, 48, seed=i), np.uint8) for i in range(24)]
    keys = [f"{i:02d}" for i in range(24)]
    fields = [Field("image", "uint8", (None,))]
    local = packs.written(tmp_path / "train", fields, keys, {"image": images}, shards=6)
    files = {f"/train/{path.name}": Route(path.read_bytes()) for path in local.path.iterdir()}
    limit = 4 * max(shard.bytes for shard in local.index.shards)
    order: dict[str, Any] = {"seed": 2, "shuffle": Window(2, 4), "transform": recipe}
    with (
        serving(files) as server,
        remote.open(f"{server.url}/train", folder=tmp_path / "cache", limit=limit) as pack,
        batches(pack, 3, **order) as far,
        batches(local, 3, **order) as near,
    ):
        for one, other in zip(far, near, strict=True):
            assert all(map(np.array_equal, one["image"], other["image"]))
