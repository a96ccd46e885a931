"""Subsets of Open Images: rows chosen by class, pictures one by one from the bucket."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsets import adopt, fetch, manifest, readers, store, subset
from dsets.errors import UsageError
from dsets.fetch import Patience
from dsets.manifest import Source
from dsets.subset import Selection
from tests.readers.raw import tar
from tests.server import Route, Server, serving
from tests.subset import tiny

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
HEADER += ",IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
CLASSES = {"/m/01yrx": "Cat", "/m/0bt9lr": "Dog", "/m/04dr76w": "Bottle", "/m/068hy": "Pet"}


def key(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()[:16]


def boxes() -> str:
    """Picture i has a cat if i is even, a bottle always, and a dog if it is divisible by 3."""
    rows = []
    for i in range(30):
        mids = ["/m/04dr76w", *(["/m/01yrx"] if i % 2 == 0 else [])]
        mids += ["/m/0bt9lr"] if i % 3 == 0 else []
        rows += [f"{key(i)},xclick,{mid},1,0.1,0.5,0.2,0.9,0,-1,0,0,0\n" for mid in mids]
    return HEADER + "".join(rows)


def labels() -> str:
    rows = [f"{key(i)},verification,/m/07j7r,{i % 2}\n" for i in range(30)]
    return "ImageID,Source,LabelName,Confidence\n" + "".join(rows)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    files = {"boxes.csv": boxes().encode(), "labels.csv": labels().encode()}
    with serving({f"/{name}": Route(data) for name, data in files.items()}) as running:
        for i in range(30):
            running.routes[f"/train/{key(i)}.jpg"] = Route(tiny.picture(i))
        entries = "".join(
            f'[[file]]\nname = "{name}"\naddresses = ["{running.url}/{name}"]\n'
            f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
            for name, data in files.items()
        )
        names = '["' + '", "'.join(CLASSES.values()) + '"]'
        mids = '["' + '", "'.join(CLASSES) + '"]'
        folder = tmp_path / "manifests"
        folder.mkdir()
        page = PAGE.format(url=running.url, files=entries, mids=mids, names=names)
        (folder / "pictures.toml").write_text(page)
        monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
        yield running


def made(selection: Selection, *annotations: str) -> subset.Made:
    parent = manifest.find("pictures")
    fetch.files(fetch.plan(parent, store.raw("pictures"), files=annotations))
    plan = subset.plan(parent, selection, "mine")
    return subset.make(plan, patience=Patience(connect_s=5, read_s=0.5, pause_s=0))


def samples() -> list[readers.Sample]:
    found = manifest.find("mine")
    source = Source(found, found.split("train"), store.raw("mine"))
    reader = readers.load(found.reader)
    return list(reader.samples(source, range(len(reader.table(source)))))


def test_pictures_of_a_class_come_alone_with_all_their_boxes(server: Server) -> None:
    done = made(Selection(("cat",)), "boxes.csv")
    assert done.requests == 15 and done.received == sum(
        len(tiny.picture(i)) for i in range(0, 30, 2)
    )
    found = {one.key: one.values for one in samples()}
    assert sorted(found) == list(found) == sorted(key(i) for i in range(0, 30, 2))
    assert bytes(found[key(6)]["image"]) == tiny.picture(6)
    assert sorted(found[key(6)]["labels"].tolist()) == [0, 1, 2]
    assert sorted(found[key(2)]["labels"].tolist()) == [0, 2]


def test_only_the_classes_and_labels_that_are_here(server: Server) -> None:
    made(Selection(("Dog",), 4, only=True), "boxes.csv", "labels.csv")
    found = samples()
    assert len(found) == 4
    for one in found:
        assert one.values["labels"].tolist() == [1]
        assert bytes(one.values["human_mids"]) == b"/m/07j7r"


def test_a_class_may_mean_all_that_lies_below_it(server: Server) -> None:
    made(Selection(("pet",), subclasses=True), "boxes.csv")
    assert {one.key for one in samples()} == {key(i) for i in range(30) if i % 2 == 0 or i % 3 == 0}
    again = subset.plan(manifest.find("mine"), Selection(("pet",), 3, subclasses=True), "fewer")
    assert again.identity["classes"] == ["Cat", "Dog", "Pet"]
    with pytest.raises(UsageError, match="no image has an object of these classes"):
        made(Selection(("pet",)), "boxes.csv")


def test_ids_that_the_bucket_lacks_are_listed(server: Server) -> None:
    for i in (0, 6):
        server.routes[f"/train/{key(i)}.jpg"].statuses = [404 if i else 403] * 9
    done = made(Selection(("dog",)), "boxes.csv")
    assert {one.key for one in done.lacking["train"]} == {key(0), key(6)}
    assert len(samples()) == 8


def parent_of(tmp_path: Path, *, images: bool) -> manifest.Manifest:
    """The dataset as it is after its boxes, and perhaps all but one picture, were adopted."""
    given = tmp_path / "given"
    given.mkdir()
    (given / "boxes.csv").write_text(boxes().replace("0.1,0.5", "0.1,0.6"))
    members = {f"x/{key(i)}.jpg": tiny.picture(i) for i in range(0 if images else 29, 30)}
    members.pop(f"x/{key(6)}.jpg", None)
    (given / "train.tar.gz").write_bytes(gzip.compress(tar(members)))
    adopt.adopt(adopt.plan(manifest.find("pictures"), [given]), unverified=True)
    return manifest.current("pictures")


def test_an_adopted_archive_is_read_and_the_rest_comes_from_the_mirror(
    server: Server, tmp_path: Path
) -> None:
    parent = parent_of(tmp_path, images=True)
    with serving({f"/train/{key(6)}.jpg": Route(tiny.picture(6))}) as mirror:
        plan = subset.plan(parent, Selection(("dog",)), "mine", mirrors=[mirror.url])
        done = subset.make(plan)
    assert (len(mirror.requests), done.requests, done.received) == (1, 1, len(tiny.picture(6)))
    assert not done.lacking["train"] and not server.requests
    assert sorted(one.key for one in samples()) == sorted(key(i) for i in range(0, 30, 3))


def test_pictures_of_an_adopted_set_come_one_by_one_where_its_archive_lacks_them(
    server: Server, tmp_path: Path
) -> None:
    parent = parent_of(tmp_path, images=False)
    plan = subset.plan(parent, Selection(("dog",), 4), "mine", mirrors=[server.url])
    done = subset.make(plan)
    assert done.requests == 4 and len(samples()) == 4
    assert {one.path.rpartition("/")[0] for one in server.requests} == {"/train"}


def test_an_adopted_archive_serves_offline(server: Server, tmp_path: Path) -> None:
    plan = subset.plan(parent_of(tmp_path, images=True), Selection(("cat",), 20), "mine")
    done = subset.make(plan, offline=True)
    assert [one.key for one in done.lacking["train"]] == [key(6)] and not server.requests


PAGE = """
schema = 1
name = "pictures"
title = "Pictures"
homepage = "https://example.org/pictures"
licence = "CC0-1.0"
access = "open"
citation = "Nobody: Nothing, 2026."
reader = "openimages"
pipeline = "detection"

[[file]]
name = "train.tar.gz"
addresses = ["{url}/train.tar.gz"]
singly = ["{url}/train"]

{files}
[split.train]
samples = 30
training = true
files = ["train.tar.gz", "boxes.csv"]

[split.train.reader]
images = ["train.tar.gz"]
boxes = "boxes.csv"
human_labels = ["labels.csv"]
mids = {mids}

[split.train.reader.subclasses]
Bottle = ["Pet"]
Pet = ["Cat", "Dog"]

[field.image]
dtype = "uint8"
shape = [-1]

[field.boxes]
dtype = "float32"
shape = [-1, 4]

[field.labels]
dtype = "int64"
shape = [-1]
classes = {names}

[field.human_mids]
dtype = "uint8"
shape = [-1]
"""
