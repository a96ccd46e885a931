"""The reader of Open Images: boxes joined to pictures, wherever they lie, and what it refuses."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets.archive import gzindex
from dsets.errors import DataError, ManifestError
from dsets.readers import openimages
from tests.readers.tiny_openimages import BOX, BOXES, TARS, A, B, C, jpeg, read, source, table, tar


def test_boxes_are_joined_to_pictures_wherever_they_lie(tmp_path: Path) -> None:
    one = source(tmp_path, TARS | {"b.csv": BOXES}, {"boxes": "b.csv"})
    found = openimages.table(one)
    assert found["key"].tolist() == [B, A, C]  # as they lie in the archives
    assert [list(keys) for keys in openimages.keys(one)] == [[B, A, C]]
    assert found["boxes"].tolist() == [0, 2, 1]  # a picture without boxes is kept
    assert found.attrs["absent"] == {"boxes": (1, 1, "9" * 16)}
    samples = read(one)
    two = samples[A].values
    assert two["image"] == jpeg(40, 10)
    assert two["boxes"].tolist() == [[10, 0, 20, 10], [0, 0, 4, 1]]
    assert two["labels"].tolist() == [1, 0] and two["sources"].tolist() == [2, 0]
    assert two["occluded"].tolist() == [-1, -1] and two["group_of"].tolist() == [0, 0]
    assert samples[C].values["group_of"].tolist() == [1]
    assert samples[C].values["sources"].tolist() == [-1]
    assert samples[B].values["boxes"].shape == (0, 4)


@pytest.mark.parametrize("spacing", [1 << 17, 1 << 26])
def test_compressed_archives_are_read_by_offset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spacing: int
) -> None:
    monkeypatch.setattr(gzindex, "SPACING", spacing)
    random = np.random.default_rng(1)
    pictures = {f"{i:016x}": random.bytes(30_000) for i in range(20)}
    archive = gzip.compress(tar({f"t/{key}.jpg": data for key, data in pictures.items()}))
    files = {"t.tar.gz": archive, "b.csv": table(BOX)}
    one = source(tmp_path, files, {"boxes": "b.csv"}, "image")
    rows = [19, 3, 0, 12]
    assert len(openimages.table(one)) == 20
    found = list(openimages.samples(one, rows))
    assert [s.values["image"] == pictures[s.key] for s in found] == [True] * 4
    assert all(s.problem for s in found)  # random bytes have no size
    (tmp_path / "t.tar.gz").write_bytes(archive[: len(archive) // 2])
    with pytest.raises(DataError, match="cut short"):
        openimages.table(one)


def test_archives_that_are_not_here_are_named(tmp_path: Path) -> None:
    one = source(tmp_path, TARS | {"b.csv": BOXES}, {"boxes": "b.csv"})
    (tmp_path / "train_f.tar").unlink()
    with pytest.raises(DataError, match=r"1 of 2 archives are not here.*train_f\.tar"):
        openimages.table(one)


def test_a_picture_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    twice = {"x.tar": tar({f"x/{A}.jpg": jpeg()})}
    one = source(tmp_path, TARS | twice | {"b.csv": BOXES}, {"boxes": "b.csv"})
    with pytest.raises(DataError, match=rf"{A} is there twice"):
        openimages.table(one)


@pytest.mark.parametrize(
    "options",
    [
        {"boxes": "nobody.csv"},
        {"boxes": "b.csv", "mids": ("/m/01yrx",)},
        {"boxes": "b.csv", "mids": ("cat", "dog")},
        {"boxes": "b.csv", "subclasses": ("cat",)},
        {"boxes": "b.csv", "subclasses": {"cow": ("cat",)}},
        {"boxes": "b.csv", "subclasses": {"Cat": ("cow",)}},
        {"boxes": "b.csv", "subclasses": {"Cat": "Dog"}},
        {"boxes": "b.csv", "masks": ["b.csv"]},
        {"boxes": "b.csv", "without_objects": "perhaps"},
        {"boxes": "b.csv", "colour": "red"},
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    one = source(tmp_path, TARS | {"b.csv": BOXES}, {"boxes": "b.csv"} | options)
    with pytest.raises(ManifestError, match="bad option"):
        openimages.check(one)


def test_a_picture_of_impossible_size_costs_itself_alone(tmp_path: Path) -> None:
    one = source(tmp_path, TARS | {"b.csv": BOXES}, {"boxes": "b.csv"})
    path = tmp_path / "train_f.tar"
    data = path.read_bytes()
    start = data.index(f"test/{C}.jpg".encode())
    head = bytearray(data[start : start + 512])
    head[124:136] = b"%011o\0" % (1 << 30)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(data[:start] + head)
    os.truncate(path, start + 512 + (1 << 30) + 1024)
    assert openimages.table(one)["bytes"].tolist()[2] == 1 << 30
    found = read(one)
    assert [key for key, sample in found.items() if sample.problem] == [C]
    assert str(found[C].problem) == "picture file too large; expected at most 268435456 bytes"
    assert found[C].values == {"image": b""}
    assert [(key, bool(data)) for key, data in openimages.images(one, [2, 0])] == [
        (C, False),
        (B, True),
    ]
