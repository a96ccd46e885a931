"""The generated digits are the same bytes everywhere, in MNIST's format, balanced and varied."""

from __future__ import annotations

import ast
import gzip
import hashlib
import inspect
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dsets import manifest, readers
from dsets.cli import _glyphs, digits
from dsets.manifest import Source

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "made" / "here"
    digits.write(folder)
    return folder


def unpacked(path: Path, header: int) -> Pixels:
    return np.frombuffer(gzip.decompress(path.read_bytes())[header:], np.uint8)


def test_the_files_are_those_of_the_manifest_byte_for_byte(folder: Path) -> None:
    files = manifest.find("digits").files
    assert sorted(path.name for path in folder.iterdir()) == sorted(file.name for file in files)
    for file in files:
        data = (folder / file.name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)


def test_no_floating_point_is_involved() -> None:
    for module in (digits, _glyphs):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float))
            assert not isinstance(node, ast.Div)
    sample = np.arange(3, dtype=np.uint64)
    assert digits.images(sample, digits.labels(sample)).dtype == np.uint8


@pytest.mark.parametrize("prefix", ["train", "t10k"])
def test_headers_are_idx_and_the_classes_balanced_in_shuffled_order(
    folder: Path, prefix: str
) -> None:
    (count,) = (n for name, (_, n) in digits.SPLITS.items() if name == prefix)
    images = gzip.decompress((folder / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
    assert struct.unpack(">IIII", images[:16]) == (0x803, count, 28, 28)
    assert struct.unpack(">II", labels[:8]) == (0x801, count)
    assert len(images) == 16 + count * 28 * 28
    values = np.frombuffer(labels[8:], np.uint8)
    assert np.bincount(values).tolist() == [count // 10] * 10
    assert (values[1:] == values[:-1]).mean() == pytest.approx(0.1, abs=0.03)


def test_the_reader_reads_them(folder: Path) -> None:
    found = manifest.find("digits")
    for split in found.splits:
        source = Source(found, split, folder)
        reader = readers.load(found.reader)
        assert len(reader.table(source)) == split.samples
        (sample,) = reader.samples(source, [split.samples - 1])
        assert sample.values["image"].shape == (28, 28, 1)
        assert 0 <= int(sample.values["label"]) <= 9


def test_no_two_pictures_are_alike_and_every_one_has_ink(folder: Path) -> None:
    train = unpacked(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28 * 28)
    test = unpacked(folder / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28 * 28)
    both = np.concatenate([train, test])
    assert len({row.tobytes() for row in both}) == len(both)
    assert (both > 128).sum(1).min() >= 8


def test_the_task_is_neither_trivial_nor_hopeless(folder: Path) -> None:
    """The nearest mean picture gets most, and far from all, of the test digits right."""
    means = np.zeros((10, 28 * 28))
    train = unpacked(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28 * 28)
    label = unpacked(folder / "train-labels-idx1-ubyte.gz", 8)
    for digit in range(10):
        means[digit] = train[label == digit].mean(0)
    test = unpacked(folder / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28 * 28)
    truth = unpacked(folder / "t10k-labels-idx1-ubyte.gz", 8)
    squares = (means**2).sum(1) - 2 * (test.astype(np.float64) @ means.T)
    assert 0.5 < (squares.argmin(1) == truth).mean() < 0.9


def test_a_picture_depends_on_nothing_but_its_samples_number_and_digit() -> None:
    sample = np.arange(40, dtype=np.uint64)
    label = (sample % 10).astype(np.uint8)
    whole = digits.images(sample, label)
    some = np.array([33, 4, 17])
    assert (digits.images(sample[some], label[some]) == whole[some]).all()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 200_000])
def test_stored_gzip_is_gzip(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    packed = digits._gzip(data)
    assert gzip.decompress(packed) == data
    inner = zlib.decompressobj(wbits=31)
    assert inner.decompress(packed) == data
    assert inner.eof
    assert not inner.unused_data
