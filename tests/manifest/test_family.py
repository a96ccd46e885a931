"""Thousands of files in ten lines: names, numbers, addresses, parts; and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets.errors import DataError, ManifestError
from dsets.manifest import Manifest, listed, parse, render
from dsets.manifest.family import Family
from tests.readers import tiny_youtube8m as tiny

FAMILY = Family(
    name="train{number}.tfrecord",
    count=3844,
    published="train{code}.tfrecord",
    alphabet=tiny.ALPHABET,
    called="video",
    folders=("http://us.example.org/2/video/train/", "http://eu.example.org/2/video/train/"),
)


@pytest.fixture
def found(tmp_path: Path) -> Manifest:
    path = tiny.manifest(tmp_path, "video") / "tinytube.toml"
    return parse(path.read_bytes(), "tinytube.toml")


def test_the_publishers_own_numbering() -> None:
    known = {0: "aa", 1: "ab", 25: "az", 26: "aA", 51: "aZ", 52: "a0", 61: "a9", 62: "ba"}
    for number, code in {**known, 3276: "00", 3843: "99"}.items():
        assert FAMILY.published_name(number) == f"train{code}.tfrecord"
        assert FAMILY.file_name(number) == f"train{number:04}.tfrecord"
    assert FAMILY.addresses(1)[1] == "http://eu.example.org/2/video/train/trainab.tfrecord"
    assert FAMILY.below(1) == ("2/video/train/trainab.tfrecord", "trainab.tfrecord")


@given(st.integers(0, 3843))
def test_a_name_leads_back_to_its_number(number: int) -> None:
    for name in (FAMILY.file_name(number), FAMILY.published_name(number)):
        assert FAMILY.number(name) == FAMILY.number(f"video_{name}") == number
        assert FAMILY.number(f"frame_{name}") is None


@pytest.mark.parametrize(
    "name",
    ["train3844.tfrecord", "trainé0.tfrecord", "train.tfrecord", "train00", "Trainaa.tfrecord",
     "trainaaa.tfrecord", "trainaa.tfrecord.part", "../trainaa.tfrecord"],
)  # fmt: skip
def test_other_names_are_none_of_them(name: str) -> None:
    assert FAMILY.number(name) is None


@given(st.integers(1, 200))
def test_parts_share_the_files_out(parts: int) -> None:
    small = replace(FAMILY, count=300)
    shares = [
        sum(small.in_part(n, part, parts) for n in range(300)) for part in range(1, parts + 1)
    ]
    assert sum(shares) == 300


def test_a_part_is_the_publishers_own() -> None:
    chosen = [FAMILY.published_name(n) for n in range(3844) if FAMILY.in_part(n, 1, 1000)]
    assert chosen and all(
        int(hashlib.md5(name.encode()).hexdigest(), 16) % 1000 == 0 for name in chosen
    )


def test_a_split_names_a_family_for_all_its_files(found: Manifest) -> None:
    split = found.split("train")
    assert len(split.files) == 1 + 3844 and split.files[-1] == "train3843.tfrecord"
    assert found.file("test0007.tfrecord").family == "test{number}.tfrecord"
    again = parse(render(found), "x")
    assert replace(again, origin=found.origin, digest=found.digest) == found


def test_numbers_are_those_that_there_are(found: Manifest) -> None:
    names = {"vocabulary.csv", "train0051.tfrecord", "train3276.tfrecord", "train.json"}
    files = tuple(file for file in found.files if file.name in names)
    split = replace(
        found.split("train"),
        files=("vocabulary.csv", "train0051.tfrecord", "train3276.tfrecord"),
        whole_files=3844,
    )
    some = replace(found, files=files, splits=(split,), families=found.families[:1])
    text = render(some)
    assert b"numbers = [51, 3276]" in text and len(text) < 2000
    again = parse(text, "x")
    assert again.files == files and again.splits == (split,)
    assert again.families[0].present == (51, 3276)


EDITS: dict[str, Callable[[str], str]] = {
    "unknown key": lambda text: text.replace("about_bytes", "about"),
    "bad number": lambda text: text.replace("count = 3844", "count = 100001"),
    "too many files": lambda text: text.replace("count = 3844", "count = 60000"),
    "bad alphabet": lambda text: text.replace(f'alphabet = "{tiny.ALPHABET}"', 'alphabet = "aa"'),
    "no such file": lambda text: text.replace('listing = "train.json"', 'listing = "other.json"'),
    "bad address": lambda text: text.replace("video/train/", "video/train"),
    "bad file name": lambda text: text.replace('name = "train{number}', 'name = "../{number}'),
    "bad numbers": lambda text: text.replace("about_bytes = 1000000", "numbers = [3, 2]"),
    "missing key": lambda text: text.replace("published = ", "published_ = ", 1).replace(
        "published_ = ", "# ", 1
    ),
    "duplicate name": lambda text: text.replace('name = "test{number}', 'name = "train{number}'),
}


@pytest.mark.parametrize("what", EDITS)
def test_what_is_refused(tmp_path: Path, what: str) -> None:
    text = (tiny.manifest(tmp_path, "video") / "tinytube.toml").read_text()
    with pytest.raises(ManifestError, match=what):
        parse(EDITS[what](text).encode(), "tinytube.toml")


def test_a_listing_proves_files_and_adds_none(found: Manifest, tmp_path: Path) -> None:
    digest = "0" * 32
    (tmp_path / "train.json").write_text(
        f'{{"files": {{"train00.tfrecord": "{digest}", "other.bin": "x", "../up": "y"}}}}'
    )
    (tmp_path / "vocabulary.csv").write_text(tiny.VOCABULARY)
    known = listed(found, tmp_path)
    assert known.file("train3276.tfrecord").md5 == digest
    assert known.file("train0000.tfrecord").digest is None
    assert [file.name for file in known.files] == [file.name for file in found.files]
    assert known.fields[0].classes == ("Game", "/m/1", "Car", "Dance", "Guitar")
    assert listed(found, tmp_path / "nothing") is found


@pytest.mark.parametrize(
    "text",
    ["", "[]", "<html>", '{"files": []}', '{"files": {}}', '{"files": {"trainaa.tfrecord": "no"}}',
     '{"files": {"other.tfrecord": "0"}}', "[" * 100_000],
)  # fmt: skip
def test_a_listing_that_is_none_is_refused(found: Manifest, tmp_path: Path, text: str) -> None:
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(DataError, match="not what the manifest says it is"):
        listed(found, tmp_path)


@pytest.mark.parametrize("text", ["", "Index,Name\n", "Index,Name\n0,\n", "Name\n\x1b[31m\n"])
def test_a_table_of_classes_that_is_none_is_refused(
    found: Manifest, tmp_path: Path, text: str
) -> None:
    (tmp_path / "vocabulary.csv").write_text(text)
    with pytest.raises(DataError, match="not what the manifest says it is"):
        listed(found, tmp_path)


def test_a_table_that_is_too_long_says_how_long(found: Manifest, tmp_path: Path) -> None:
    with (tmp_path / "vocabulary.csv").open("wb") as file:
        file.truncate(300_000_000)
    with pytest.raises(
        DataError, match=r"too long for a .* at most 67,108,864 bytes, got 300,000,000; remove it"
    ):
        listed(found, tmp_path)
