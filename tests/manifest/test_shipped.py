"""Every shipped manifest keeps the contract; adding a dataset is adding its file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dsets import manifest, readers
from dsets.manifest import Manifest

FOLDER = Path(__file__).parents[2] / "manifests"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))


@pytest.fixture(params=NAMES)
def shipped(request: pytest.FixtureRequest) -> Manifest:
    """Parsed, which checks types, digests, names, addresses, splits' files and training split."""
    return manifest.find(request.param)


def test_the_folder_is_what_is_shipped() -> None:
    assert manifest.names() == NAMES


def test_the_reader_exists(shipped: Manifest) -> None:
    assert shipped.reader in readers.names()


def test_the_pipeline_exists(shipped: Manifest) -> None:
    assert importlib.util.find_spec(f"dsets.pipelines.{shipped.pipeline}")


def test_every_file_of_a_split_can_be_proved_right(shipped: Manifest) -> None:
    for split in shipped.splits:
        for name in split.files:
            assert shipped.file(name).digest, name


def test_every_address_leads_to_the_file_of_that_name(shipped: Manifest) -> None:
    for file in shipped.files:
        for address in file.addresses:
            assert urlsplit(address).path.rpartition("/")[2] == file.name


def test_the_readers_files_are_declared_by_their_split(shipped: Manifest) -> None:
    known = {file.name for file in shipped.files}
    for split in shipped.splits:
        named = {value for value in split.options.values() if value in known}
        assert named == set(split.files)


def test_a_label_names_its_classes(shipped: Manifest) -> None:
    for field in shipped.fields:
        assert field.classes or field.name != "label"


@pytest.mark.parametrize(
    ("name", "samples", "download", "shape"),
    [
        ("mnist", {"train": 60_000, "test": 10_000}, 11_594_722, (28, 28, 1)),
        ("cifar10", {"train": 50_000, "test": 10_000}, 170_498_071, (32, 32, 3)),
        ("digits", {"train": 12_000, "test": 2_000}, 10_990_970, (28, 28, 1)),
    ],
)
def test_the_official_figures(
    name: str, samples: dict[str, int], download: int, shape: tuple[int, ...]
) -> None:
    found = manifest.find(name)
    assert {split.name: split.samples for split in found.splits} == samples
    assert sum(file.bytes or 0 for file in found.files) == download
    assert found.fields[0].shape == shape
    assert len(found.fields[1].classes) == 10
