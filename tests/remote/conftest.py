"""A small pack, and real servers that have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dsets import pack
from dsets.fetch import Patience
from dsets.field import Field
from dsets.pack import Pack, Statistics
from tests.server import Route, Server, serving

QUICK = Patience(connect_s=5, read_s=0.5, tries=3, pause_s=0)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Sixty samples in six shards: an image, a label, bytes of varying size."""
    folder = tmp_path_factory.mktemp("local") / "train"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), np.uint8)
    fields = (
        Field("image", "uint8", (16, 16, 3)),
        Field("label", "int64", ()),
        Field("note", "uint8", (None,)),
    )
    keys = [f"k{number}" for number in range(60)]
    shards = []
    for number in range(6):
        part = slice(10 * number, 10 * number + 10)
        values = {
            "image": pixels[part],
            "label": np.arange(60)[part],
            "note": [np.full(i % 5, i, np.uint8) for i in range(60)][part],
        }
        shards.append(pack.shard.write(folder / f"s-{number}.h5", fields, keys[part], values))
    pack.finish(
        folder,
        split="train",
        fields=fields,
        shards=shards,
        statistics=Statistics.of(pixels),
        statistics_of=None,
        quarantine=(),
        samples_digest=pack.samples_digest(keys),
        provenance={},
    )
    return Pack.open(folder)


@pytest.fixture
def server(local: Pack) -> Iterator[Server]:
    """The pack at ``/train``, whose routes a test may spoil."""
    files = {f"/train/{path.name}": Route(path.read_bytes()) for path in local.path.iterdir()}
    with serving(files) as running:
        yield running


@pytest.fixture
def address(server: Server) -> str:
    return f"{server.url}/train"


@pytest.fixture
def shard_bytes(local: Pack) -> int:
    """Of the largest shard."""
    return max(shard.bytes for shard in local.index.shards)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def kept(root: Path) -> Callable[[], set[str]]:
    """The names of the shards in the cache."""
    return lambda: {path.name for path in root.glob("packs/*/s-*.h5")}
