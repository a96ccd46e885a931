"""A manifest is a value: it can't be changed, can be pickled, compared and hashed."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from dsets import manifest
from dsets.errors import ManifestError
from dsets.manifest import File, Manifest, Source, Split


@pytest.fixture
def tiny(good: str) -> Manifest:
    return manifest.parse(good.encode(), "tiny.toml")


def test_a_manifest_survives_pickling_and_compares_and_hashes_by_value(tiny: Manifest) -> None:
    source = Source(tiny, tiny.splits[0], Path("raw"))
    again = pickle.loads(pickle.dumps(source))
    assert again == source
    assert hash(again) == hash(source)
    assert again.split.options["deep"]["list"] == (1, (2, "three"))
    assert replace(tiny, title="Other") != tiny


def test_nothing_of_a_manifest_can_be_changed(tiny: Manifest) -> None:
    with pytest.raises(FrozenInstanceError):
        tiny.splits[0].samples = 3  # type: ignore[misc]
    options: Any = tiny.splits[0].options
    for table in (options, options["deep"]):
        with pytest.raises(TypeError):
            table["image"] = "other.gz"
        with pytest.raises(TypeError):
            del table["image"]
        with pytest.raises(AttributeError):
            table.image = "other.gz"


def test_options_are_a_copy_of_the_table_they_came_from() -> None:
    table = {"batches": ["a", "b"]}
    split = Split("train", 1, ("f",), True, table)
    table["batches"].append("c")
    assert split.options == {"batches": ("a", "b")}
    assert dict(split.options) == {"batches": ("a", "b")}
    assert repr(split.options) == "{'batches': ('a', 'b')}"


def test_the_strongest_published_digest_is_chosen() -> None:
    file = File("f", sha256="a", sha1="b", md5="c")
    assert file.digest == ("sha256", "a")
    assert replace(file, sha256=None).digest == ("sha1", "b")
    assert replace(file, sha256=None, sha1=None).digest == ("md5", "c")
    assert File("f").digest is None


def test_files_and_splits_are_found_by_name_or_the_known_ones_named(tiny: Manifest) -> None:
    assert tiny.file("labels.gz") is tiny.files[1]
    assert tiny.split("test") is tiny.splits[1]
    with pytest.raises(ManifestError, match=r"expected one of images\.gz, labels\.gz, got x"):
        tiny.file("x")
    with pytest.raises(ManifestError, match=r"expected one of train, test, got x"):
        tiny.split("x")


@pytest.mark.parametrize("name", ["training", "testing", "TRAIN"])
def test_a_split_is_found_by_the_other_usual_names_of_its_kind(tiny: Manifest, name: str) -> None:
    assert tiny.split(name).name == ("test" if name == "testing" else "train")


def test_validation_is_val_whatever_it_is_called_but_only_where_one_is_meant(
    tiny: Manifest,
) -> None:
    def of(*names: str) -> Manifest:
        return replace(tiny, splits=tuple(replace(tiny.splits[0], name=name) for name in names))

    for there in ("val", "validation", "validate"):
        for asked in ("val", "validation", "validate", "valid"):
            assert of("train", there).split(asked).name == there
    assert of("val", "validation").split("validation").name == "validation"
    with pytest.raises(ManifestError, match="no such split"):
        of("val", "validation").split("validate")
    with pytest.raises(ManifestError, match="no such split"):
        tiny.split("validation")


def test_an_unknown_split_or_part_gets_the_nearest(tiny: Manifest) -> None:
    with pytest.raises(ManifestError, match=r"got trian; did you mean train\?"):
        tiny.split("trian")
    parted = replace(tiny, files=(replace(tiny.files[0], part="annotations"), *tiny.files[1:]))
    with pytest.raises(ManifestError, match=r"got anotation; did you mean annotations\?"):
        parted.part("anotation")


def test_a_source_gives_paths_of_declared_files_alone(tiny: Manifest, tmp_path: Path) -> None:
    source = Source(tiny, tiny.splits[0], tmp_path)
    assert source.path("labels.gz") == tmp_path / "labels.gz"
    with pytest.raises(ManifestError, match="no such file"):
        source.path("../labels.gz")
