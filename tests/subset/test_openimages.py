"""Subsets of Open Images: rows chosen by class, pictures one by one from the bucket."""

from __future__ import annotations

import pytest

from dsets import fetch, manifest, readers, store, subset
from dsets.errors import DataError, UsageError
from dsets.manifest import Source
from dsets.subset import Selection
from tests.server import Server
from tests.subset import tiny, tiny_openimages
from tests.subset.tiny_openimages import flipped, key, made, samples


def test_pictures_of_a_class_come_alone_with_all_their_boxes(bucket: Server) -> None:
    done = made(Selection(("cat",)), "boxes.csv")
    assert done.requests == 15 and done.received == sum(
        len(tiny.picture(i)) for i in range(0, 30, 2)
    )
    found = {one.key: one.values for one in samples()}
    assert sorted(found) == list(found) == sorted(key(i) for i in range(0, 30, 2))
    assert bytes(found[key(6)]["image"]) == tiny.picture(6)
    assert sorted(found[key(6)]["labels"].tolist()) == [0, 1, 2]
    assert sorted(found[key(2)]["labels"].tolist()) == [0, 2]


def test_only_the_classes_and_labels_that_are_here(bucket: Server) -> None:
    made(Selection(("Dog",), 4, only=True), "boxes.csv", "labels.csv")
    found = samples()
    assert len(found) == 4
    for one in found:
        assert one.values["labels"].tolist() == [1]
        assert bytes(one.values["human_mids"]) == b"/m/07j7r"


def test_a_row_with_a_line_break_in_a_quoted_cell_is_cut_whole(bucket: Server) -> None:
    head, *rows = tiny_openimages.labels().splitlines()
    quoted = "\n".join([f"{head},Text", *(f'{row},"a ""cat"",\n0"' for row in rows), ""])
    official = manifest.find("pictures")
    fetch.files(fetch.plan(official, store.raw("pictures"), files=["boxes.csv"]))
    path = store.raw("pictures") / "labels.csv"
    for end in ("\n", "\r\n"):
        path.write_bytes(quoted.replace("\n", end).encode())
        source = Source(official, official.split("train"), store.raw("pictures"))
        _, cutting = readers.selectable("openimages").cut(source, {key(3), key(5)}, None)
        kept = cutting.read().decode()
        assert kept.count(f'"a ""cat"",{end}0"{end}') == 2 and kept.startswith(f"{head},Text{end}")
        assert len(kept.split(end)) == 6
    path.write_bytes(quoted.encode() + f'{key(3)},x,/m/0,1,"{"a" * 200_000}\n'.encode())
    with pytest.raises(DataError, match=r"labels\.csv, line 62: no table; got 'field larger"):
        list(readers.selectable("openimages").cut(source, {key(3)}, None))


def test_a_class_may_mean_all_that_lies_below_it(bucket: Server) -> None:
    made(Selection(("pet",), subclasses=True), "boxes.csv")
    assert {one.key for one in samples()} == {key(i) for i in range(30) if i % 2 == 0 or i % 3 == 0}
    again = subset.plan(manifest.find("mine"), Selection(("pet",), 3, subclasses=True), "fewer")
    assert again.identity["classes"] == ["Cat", "Dog", "Pet"]
    with pytest.raises(UsageError, match="no image has an object of these classes"):
        made(Selection(("pet",)), "boxes.csv")


def test_ids_that_the_bucket_lacks_are_listed(bucket: Server) -> None:
    for i in (0, 6):
        bucket.routes[f"/train/{key(i)}.jpg"].statuses = [404 if i else 403] * 9
    done = made(Selection(("dog",)), "boxes.csv")
    assert {one.key for one in done.lacking["train"]} == {key(0), key(6)}
    assert len(samples()) == 8


def test_the_same_command_asks_for_the_lacking_ones_alone(bucket: Server) -> None:
    for i in (0, 6):
        bucket.routes[f"/train/{key(i)}.jpg"].statuses = [404]
    made(Selection(("dog",)), "boxes.csv")
    bucket.requests.clear()
    done = made(Selection(("dog",)))
    asked = {one.path for one in bucket.requests}
    assert asked == {f"/train/{key(i)}.jpg" for i in (0, 6)} and done.requests == 2
    assert not done.lacking["train"]
    assert {one.key: bytes(one.values["image"]) for one in samples()} == {
        key(i): tiny.picture(i) for i in range(0, 30, 3)
    }


def test_an_earlier_picture_that_rotted_comes_again(bucket: Server) -> None:
    bucket.routes[f"/train/{key(0)}.jpg"].statuses = [404]
    made(Selection(("dog",)), "boxes.csv")
    path = store.raw("mine") / "train-images.tar"
    good = tiny.picture(3)
    path.write_bytes(path.read_bytes().replace(good, flipped(good)))
    assert made(Selection(("dog",))).requests == 2
    assert {one.key: bytes(one.values["image"]) for one in samples()}[key(3)] == good
