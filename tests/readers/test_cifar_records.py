"""The binary version of CIFAR: the samples of the Python version, under the same keys."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets.errors import DataError, ManifestError
from dsets.field import Field
from dsets.manifest import File, Source, Split
from dsets.readers import cifar
from tests.readers import raw

COARSE = Field("coarse", "int64", (), classes=("pet", "wild"))


def members(**changes: bytes) -> dict[str, bytes]:
    """Two batches, each record coarse byte, fine byte, pixels; and the texts."""
    found = {}
    for number in (1, 2):
        batch = raw.cifar_batch(number)
        found[f"bin/data_batch_{number}.bin"] = b"".join(
            bytes([label % 2, label]) + planes.tobytes()
            for label, planes in zip(batch[b"labels"], batch[b"data"], strict=True)
        )
    found["bin/fine.txt"] = "\n".join(raw.CLASSES).encode() + b"\n\n"  # as published
    found["bin/coarse.txt"] = b"pet\nwild\n"
    return found | {f"bin/{name}": value for name, value in changes.items()}


def source(root: Path, contents: Mapping[str, bytes], **options: Any) -> Source:
    (root / "c.tar.gz").write_bytes(gzip.compress(raw.tar(contents), 1))
    given: dict[str, Any] = {
        "archive": "c.tar.gz",
        "batches": ["bin/data_batch_1.bin", "bin/data_batch_2.bin"],
        "records": ["coarse", "label"],
        "names": {"label": "bin/fine.txt", "coarse": "bin/coarse.txt"},
    }
    split = Split("train", 10, ("c.tar.gz",), True, given | options)
    fields = [Field("image", "uint8", raw.SIZE), raw.LABEL, COARSE]
    return Source(raw.manifest_of("cifar", [File("c.tar.gz")], [split], fields), split, root)


def test_it_gives_what_the_python_version_gives(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    python = list(
        cifar.samples(raw.cifar_source(tmp_path / "python", raw.cifar_members()), range(10))
    )
    binary = list(cifar.samples(source(tmp_path, members()), range(10)))
    for ours, other in zip(binary, python, strict=True):
        assert ours.key == other.key
        assert np.array_equal(ours.values["image"], other.values["image"])
        assert ours.values["label"] == other.values["label"]
        assert ours.values["coarse"] == other.values["label"] % 2


def test_the_table_has_both_labels(tmp_path: Path) -> None:
    table = cifar.table(source(tmp_path, members()))
    assert list(table.columns) == ["key", "coarse", "label"]
    assert table["coarse"].tolist() == (table["label"] % 2).tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_batch_2.bin": b"\0" * 249}, "wrong size; expected 5 records of 50 bytes"),
        ({"data_batch_2.bin": b"\1\7" + b"\0" * 248}, "label of row 0 is not a class"),
        ({"data_batch_2.bin": b"\2\1" + b"\0" * 248}, "coarse of row 0 is not a class"),
        ({"fine.txt": b"cat\nfrog\ndog\n"}, "class names of label differ"),
        ({"coarse.txt": b"x" * 70_000}, "member is too long"),
    ],
)
def test_what_is_not_as_published_is_refused(
    tmp_path: Path, changes: dict[str, bytes], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        list(cifar.samples(source(tmp_path, members(**changes)), range(10)))


@pytest.mark.parametrize(
    "options",
    [{"records": ["label"]}, {"records": "label"}, {"meta": "bin/meta"}, {"names": {"label": "x"}}],
)
def test_options_that_cannot_be_followed(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ManifestError, match="bad option"):
        cifar.check(source(tmp_path, members(), **options))
