"""Some of a split's archives, where each is as good alone: adopted, added to, superseded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsets import adopt, fetch, manifest, prepare, readers, store
from dsets.manifest import File, Source, Split
from tests.adopt.tinynet import write
from tests.readers.raw import manifest_of, tar
from tests.subset import tiny
from tests.subset.tiny_openimages import CLASSES, boxes, fields, key

TARS = ("a.tar", "b.tar", "c.tar")


def archive(number: int) -> bytes:
    """Ten pictures of thirty."""
    return tar({f"{key(i)}.jpg": tiny.picture(i) for i in range(10 * number, 10 * number + 10)})


@pytest.fixture
def parted(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A dataset ``parted`` of three archives; its files, the official ones."""
    contents = {name: archive(number) for number, name in enumerate(TARS)}
    contents["boxes.csv"] = boxes().encode()
    files = [
        File(
            name,
            (f"http://127.0.0.1:9/{name}",),
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        for name, data in contents.items()
    ]
    options = {"images": TARS, "boxes": "boxes.csv", "mids": tuple(CLASSES)}
    split = Split("train", 30, tuple(contents), True, options)
    given = fields(("image", "boxes", "labels"), tuple(CLASSES.values()))
    made = manifest_of("openimages", files, [split], given)
    tiny.written(tmp_path / "manifests", "parted", "detection", made)
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path / "manifests"))
    return contents


def adopted(folder: Path, *, unverified: bool = True) -> adopt.Adopted:
    return adopt.adopt(adopt.plan(manifest.find("parted"), [folder]), unverified=unverified)


def keys() -> list[str]:
    found = manifest.current("parted")
    source = Source(found, found.split("train"), store.raw("parted"))
    reader = readers.load("openimages")
    return [one.key for one in reader.samples(source, range(len(reader.table(source))))]


def test_one_archive_with_all_boxes_is_a_part_of_the_split(
    parted: dict[str, bytes], tmp_path: Path, cli: Callable[[Sequence[str]], int]
) -> None:
    done = adopted(
        write(tmp_path / "b", {"boxes.csv": boxes().encode() + b"\n", "b.tar": archive(1)})
    )
    (split,) = done.splits
    assert (split.samples, split.whole_files) == (10, 4)
    (lack,) = done.lacks
    assert (lack.got, lack.expected) == (10, 30)
    assert lack.details == ("without a.tar, c.tar",)
    assert keys() == [key(i) for i in range(10, 20)]
    assert cli(["verify", "parted", "--deep"]) == 0
    plan = prepare.plan(manifest.current("parted"), out=tmp_path / "packs")
    (pack,) = prepare.run(plan)
    assert pack.samples == 10
    assert pack.provenance["subset"] == {"files": 2, "of_files": 4}


def test_archives_of_a_second_call_are_added(parted: dict[str, bytes], tmp_path: Path) -> None:
    strange = {"boxes.csv": boxes().encode() + b"\n"}
    adopted(write(tmp_path / "c", strange | {"c.tar": archive(2) + bytes(512)}))
    done = adopted(write(tmp_path / "a", {"a.tar": archive(0) + bytes(512)}))
    assert [split.samples for split in done.splits] == [20]
    assert keys() == [key(i) for i in (*range(10), *range(20, 30))]
    assert not adopt.plan(manifest.find("parted"), [write(tmp_path / "x", {"x": b""})]).strange


def test_official_archives_are_a_part_until_all_are_there(
    parted: dict[str, bytes], tmp_path: Path
) -> None:
    some = {name: parted[name] for name in ("a.tar", "boxes.csv")}
    done = adopted(write(tmp_path / "a", some), unverified=False)
    assert [split.samples for split in done.splits] == [10] and len(keys()) == 10
    assert not done.manifest.unverified(done.manifest.split("train"))
    rest = {name: parted[name] for name in ("b.tar", "c.tar")}
    done = adopted(write(tmp_path / "rest", rest), unverified=False)
    assert not done.lacks and len(keys()) == 30
    assert manifest.current("parted") == manifest.find("parted")


def test_files_that_are_fetched_supersede_a_part(parted: dict[str, bytes], tmp_path: Path) -> None:
    adopted(write(tmp_path / "b", {"boxes.csv": parted["boxes.csv"] + b"\n", "b.tar": archive(1)}))
    mirror = write(tmp_path / "mirror", parted)
    official = manifest.find("parted")
    fetch.files(fetch.plan(official, store.raw("parted"), mirrors=[str(mirror)]))
    adopt.settle(official)
    assert manifest.current("parted") == official and len(keys()) == 30
