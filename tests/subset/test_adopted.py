"""Subsets of adopted datasets: what is here is read, the rest fetched."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dsets import adopt, manifest, subset
from dsets.readers import _openimages_pictures
from dsets.subset import Selection
from dsets.subset.gathering import LARGE
from tests.readers.raw import tar
from tests.server import Route, Server, serving
from tests.subset import tiny
from tests.subset.tiny_openimages import boxes, key, samples


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
    bucket: Server, tmp_path: Path
) -> None:
    parent = parent_of(tmp_path, images=True)
    with serving({f"/train/{key(6)}.jpg": Route(tiny.picture(6))}) as mirror:
        plan = subset.plan(parent, Selection(("dog",)), "mine", mirrors=[mirror.url])
        done = subset.make(plan)
    assert (len(mirror.requests), done.requests, done.received) == (1, 1, len(tiny.picture(6)))
    assert not done.lacking["train"] and not bucket.requests
    assert sorted(one.key for one in samples()) == sorted(key(i) for i in range(0, 30, 3))


def test_pictures_of_an_adopted_set_come_one_by_one_where_its_archive_lacks_them(
    bucket: Server, tmp_path: Path
) -> None:
    parent = parent_of(tmp_path, images=False)
    plan = subset.plan(parent, Selection(("dog",), 4), "mine", mirrors=[bucket.url])
    done = subset.make(plan)
    assert done.requests == 4 and len(samples()) == 4
    assert {one.path.rpartition("/")[0] for one in bucket.requests} == {"/train"}


def test_an_adopted_archive_serves_offline(bucket: Server, tmp_path: Path) -> None:
    plan = subset.plan(parent_of(tmp_path, images=True), Selection(("cat",), 20), "mine")
    done = subset.make(plan, offline=True)
    assert [one.key for one in done.lacking["train"]] == [key(6)] and not bucket.requests


def test_a_picture_that_is_too_large_is_listed_and_the_others_come(
    bucket: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {key(i): len(tiny.picture(i)) for i in range(0, 30, 2) if i != 6}
    limit = max(sizes.values()) - 1
    monkeypatch.setattr(_openimages_pictures, "PICTURE_BYTES", limit)
    parent = parent_of(tmp_path, images=True)
    done = subset.make(subset.plan(parent, Selection(("cat",)), "mine"), offline=True)
    large = {one.key for one in done.lacking["train"] if one.reason == LARGE}
    assert large == {one for one, size in sizes.items() if size > limit}
    assert len(samples()) == 15 - 1 - len(large)
