"""Golden epochs: the digest of docs/golden-epoch.md, however the stream is run."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import extension, manifest, readers
from dsets.cli import digits
from dsets.errors import UsageError
from dsets.field import Field
from dsets.manifest import Source
from dsets.pack import Pack
from dsets.stream import Order, golden
from dsets.stream.state import Key
from dsets.transforms import lighting
from dsets.transforms.random import philox
from tests import packs

#: The digits' split `test`, seed 1, epochs 0 and 1.
VECTORS = (
    "421163fd937bd0eaaee3757eef93012447d09c17e0db8fc6037c4aa365f85613",
    "c1dd8fb8c4d7d01e89f4f1cceadfb0324644b229689a2967015ef66f5dac32f4",
)
DIGEST = "3f7d8f0c72a5b9518375dd49dc6bc508b0994d673366546cd5bdeb279e94aa27"
#: `train`, seed 0.
TRAIN = "e9efbc3d2930b0df0d4be4524aa97ae6b20eb0b7e0f3e80085ec7d5db9cfbcc2"


def make(folder: Path, split: str, raw: Path, shards: int, layout: str = "HWC") -> Pack:
    """The digits as a pack."""
    found = manifest.find("digits")
    source = Source(found, found.split(split), raw)
    reader = readers.load(found.reader)
    samples = list(reader.samples(source, range(source.split.samples)))
    fields = (Field("image", "uint8", (28, 28, 1), layout), Field("label", "int64", ()))
    columns = {f.name: np.stack([one.values[f.name] for one in samples]) for f in fields}
    keys = [one.key for one in samples]
    return packs.written(folder, fields, keys, columns, shards=shards, split=split)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "raw"
    digits.write(folder)
    return folder


@pytest.fixture(scope="module")
def test_split(raw: Path) -> Pack:
    return make(raw.parent / "test", "test", raw, 3)


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension, "native", None)


def with_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    if extension.native is None:
        pytest.skip("the extension is not built")


@pytest.mark.parametrize("how", [with_extension, without])
def test_the_vectors(test_split: Pack, how: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    how(monkeypatch)
    assert golden.digest(test_split, 1, 2) == golden.Golden(VECTORS, DIGEST)


def test_the_vector_of_the_training_split(raw: Path, tmp_path: Path) -> None:
    planar = make(tmp_path / "train", "train", raw, 5, "CHW")
    assert golden.digest(planar, 0, 2).digest == TRAIN


@pytest.mark.parametrize(
    "how",
    [
        {"batch_size": 77},
        {"batch_size": 5000, "threads": 1},
        {"ranks": 3, "batch_size": 64},
        {"ranks": 2, "batch_size": 333, "threads": 4},
    ],
)
def test_batch_size_ranks_and_threads_change_nothing(test_split: Pack, how: Any) -> None:
    assert golden.digest(test_split, 1, 2, **how).epochs == VECTORS


def test_another_seed_epoch_or_pixel_changes_everything(
    test_split: Pack, tmp_path: Path, raw: Path
) -> None:
    assert golden.digest(test_split, 2, 1).epochs[0] not in VECTORS
    assert golden.digest(test_split, 1, 1).digest != DIGEST
    changed = make(tmp_path / "changed", "test", raw, 1)
    pixels = changed.arrays("image")[0]
    other = tmp_path / "changed" / "shard-00000.h5"
    data = bytearray(other.read_bytes())
    middle = data.index(pixels[1000].tobytes()) + 14 * 28 + 14
    data[middle] ^= 1
    other.write_bytes(data)
    assert golden.digest(Pack.open(tmp_path / "changed"), 1, 1).epochs[0] != VECTORS[0]


def naive(opened: Pack, seed: int, epoch: int, side: tuple[int, int]) -> str:
    """The page's tables, sample by sample."""
    height, width = side
    key = Key(opened.samples_digest, seed, True)
    order = Order(len(opened), key, 1).samples(epoch, np.arange(len(opened)))
    hashed = hashlib.sha256(b"dsets golden epoch 1\n" + opened.samples_digest.encode() + b"\n")
    hashed.update(struct.pack("<II", seed, epoch))
    hashes = np.concatenate(opened.arrays("key_hash"))
    for number in order.tolist():
        name = opened.keys([number])[0].encode()
        low, high = int(hashes[number]) & 0xFFFFFFFF, int(hashes[number]) >> 32
        words: list[int] = []
        for purpose in (1, 2, 3, 4):
            counter = tuple(np.array([x], np.uint64) for x in (low, high, purpose, 0))
            words += [int(word[0]) for word in philox(counter, (seed, epoch))]  # type: ignore[arg-type]
        normals = [int(lighting.table()[word >> 20]) for word in words[12:]]
        image = opened[number]["image"]
        lines, columns = height * 7 // 8, width * 7 // 8
        top = words[0] * (height - lines + 1) >> 32
        left = words[1] * (width - columns + 1) >> 32
        mirrored = words[4] >> 31
        shown = image[top : top + lines, left : left + columns]
        pixels = (shown[:, ::-1] if mirrored else shown).tobytes()
        numbers = (*words, *normals, top, left, lines, columns, mirrored)
        hashed.update(struct.pack("<I", len(name)) + name + struct.pack("<25q", *numbers))
        hashed.update(struct.pack("<Q", len(pixels)) + pixels)
    return hashed.hexdigest()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_it_is_what_the_page_says(make_pack: Callable[..., Pack], dtype: str) -> None:
    opened = make_pack(40, size=(9, 16, 3), dtype=dtype)
    for epoch, found in enumerate(golden.digest(opened, 7, 2, batch_size=12).epochs):
        assert found == naive(opened, 7, epoch, (9, 16))


def test_images_of_no_one_size_are_hashed_as_stored(tmp_path: Path) -> None:
    fields = (Field("image", "uint8", (None,)),)
    values = [np.frombuffer(b"ab" * n, np.uint8) for n in range(6)]
    keys = [f"train/{n}" for n in range(6)]
    opened = packs.written(tmp_path, fields, keys, {"image": values})
    one = golden.digest(opened, 0, 1, batch_size=2)
    assert one == golden.digest(opened, 0, 1, batch_size=5, ranks=2)
    assert one != golden.digest(opened, 1, 1)


def test_no_epochs_are_refused(test_split: Pack) -> None:
    with pytest.raises(UsageError, match="bad epochs"):
        golden.digest(test_split, 1, 0)
