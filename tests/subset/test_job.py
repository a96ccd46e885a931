"""From a remote zip to a dataset: only what is needed, each image proved, nothing half."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import dsets
from dsets import fetch, manifest, store, subset
from dsets.errors import DigestError, OfflineError, UsageError
from dsets.fetch import Patience
from dsets.subset import Selection
from tests.server import Route, Server
from tests.subset import tiny
from tests.subset.making import CATS, made, planned, samples, sound, written


def test_only_what_is_needed_is_fetched(
    server: Server, patience: Patience, contents: dict[str, bytes]
) -> None:
    plan = planned()
    before = len(server.requests)
    done = subset.make(plan, patience=patience)
    asked = server.requests[before:]
    assert {one.path for one in asked} == {"/val.zip"} and len(asked) == done.requests
    assert len(asked) <= 2 + 5
    ends = [one.headers["Range"].removeprefix("bytes=").split("-") for one in asked]
    assert sum(int(last) + 1 - int(first) for first, last in ends) == done.received
    needed = sum(len(tiny.picture(int(one.key))) for one in plan.shares[0].pictures)
    assert done.received < needed + 70_000 < len(contents["val.zip"]) / 10
    assert done.addresses == (f"{server.url}/val.zip",)


def test_the_subset_has_what_the_parent_has_of_these_images(
    server: Server, patience: Patience
) -> None:
    made(patience)
    mine = samples("mine", "val")
    parent = manifest.find("tiny")
    fetch.files(fetch.plan(parent, store.raw("tiny")))
    theirs = {one.key: one for one in samples("tiny", "val")}
    assert len(mine) == 5
    for one in mine:
        assert int(one.key) % 4 == 0
        for name, value in theirs[one.key].values.items():
            assert np.array_equal(value, one.values[name]), name


def test_objects_of_other_classes_stay_or_are_dropped(server: Server, patience: Patience) -> None:
    made(patience, Selection(("cat",), None, ("train",)))
    kept = samples("mine", "train")
    assert [int(one.key) for one in kept] == list(range(0, 60, 4))
    assert [one.values["labels"].tolist() for one in kept] == [[0, 2], [0]] * 7 + [[0, 2]]
    made(patience, Selection(("cat",), None, ("train",), only=True), "cats-alone")
    alone = samples("cats-alone", "train")
    assert [one.values["labels"].tolist() for one in alone] == [[0]] * 15
    assert [one.values["caption"].tobytes() for one in alone] == [
        one.values["caption"].tobytes() for one in kept
    ]


def test_it_is_a_dataset_like_any_other(server: Server, patience: Patience) -> None:
    selection = Selection(("dog", "Cat"), 6)
    done = made(patience, selection)
    assert "mine" in manifest.names()
    assert [(one.name, one.samples, one.training) for one in done.manifest.splits] == [
        ("train", 6, True),
        ("val", 6, False),
    ]
    assert sound(done.manifest)
    packs = dsets.load("mine", offline=True)
    assert {name: len(pack) for name, pack in packs.items()} == {"train": 6, "val": 6}
    for name, pack in packs.items():
        assert pack.samples_digest == done.samples[name]
    listed = json.loads((store.raw("mine") / subset.FILE).read_text())
    assert listed["selection"]["classes"] == ["cat", "dog"]
    assert [one["key"] for one in listed["splits"]["val"]["images"]] == [
        one.key for one in samples("mine", "val")
    ]


def test_the_same_call_elsewhere_gives_the_same_bytes(
    server: Server,
    patience: Patience,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made(patience)
    before = written("mine")
    page = (store.manifests() / "mine.toml").read_bytes()
    monkeypatch.setenv("DSETS_HOME", str(tmp_path / "elsewhere"))
    made(Patience(), Selection((" CAT",), 5, ("validation",)))
    assert written("mine") == before
    assert (store.manifests() / "mine.toml").read_bytes() == page


def test_a_subset_that_is_here_asks_nobody(server: Server, patience: Patience) -> None:
    made(patience)
    before = len(server.requests)
    again = made(patience)
    assert again.had and again.received == 0 and len(server.requests) == before


def test_an_archive_that_is_here_is_read_here(server: Server, patience: Patience) -> None:
    fetch.files(fetch.plan(manifest.find("tiny"), store.raw("tiny")))
    before = len(server.requests)
    assert not made(patience).received
    assert len(server.requests) == before


def test_a_hostile_name_in_the_annotations_leads_nowhere(
    server: Server, patience: Patience, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    bad = tiny.annotations(1000).replace(b'"1000.jpg"', b'"../../1000.jpg"')
    members = {"annotations/instances_val.json": bad}
    archive = tiny.packed(members | {"annotations/captions_val.json": tiny.captions(1000)})
    server.routes["/annotations.zip"].data = archive
    tiny.catalogue(tmp_path / "manifests", contents | {"annotations.zip": archive}, server.url)
    with pytest.raises(dsets.errors.DataError, match="bad or repeated name of an image"):
        made(patience)


def test_a_killed_call_goes_on(server: Server, patience: Patience, home: Path) -> None:
    plan = planned(Selection(("cat",), None, ("val",)))
    route = server.routes["/val.zip"]
    served = threading.Semaphore(0)
    code = (
        "from dsets import manifest, subset\n"
        "plan = subset.plan(manifest.current('tiny'), "
        "subset.Selection(('cat',), None, ('val',)), 'mine')\n"
        "subset.make(plan, jobs=1)\n"
    )
    hold = threading.Event()

    def slow(route: Route) -> None:
        served.release()
        if sum(one.path == "/val.zip" for one in server.requests) >= 8:
            hold.wait()

    route.on_request = slow
    child = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    for _ in range(9):
        served.acquire()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    hold.set()
    route.on_request = None
    assert "mine" not in manifest.names() and not written("mine")
    kept = [p for p in (store.raw("mine") / ".subset.part").iterdir() if p.suffix != ".part"]
    assert 3 <= len(kept) < 15
    done = subset.make(plan, patience=patience)
    assert done.requests == 2 + 15 - len(kept)
    assert not done.lacking["val"] and len(samples("mine", "val")) == 15
    assert not (store.raw("mine") / ".subset.part").exists()


def test_a_name_that_is_taken(server: Server, patience: Patience) -> None:
    made(patience)
    with pytest.raises(UsageError, match=r"another subset has this name.*--name"):
        made(patience, Selection(("dog",), 5, ("val",)))
    with pytest.raises(UsageError, match="a dataset has this name"):
        made(patience, name="tiny")
    fetch.remove(manifest.find("mine"), store.raw("mine"))
    made(patience, Selection(("dog",), 5, ("val",)))
    assert all(int(one.key) % 4 == 1 for one in samples("mine", "val"))


def test_a_manifest_from_elsewhere_says_what_must_come_out(
    server: Server, patience: Patience, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(patience)
    theirs = tmp_path / "manifests" / "mine.toml"
    theirs.write_bytes((store.manifests() / "mine.toml").read_bytes())
    monkeypatch.setenv("DSETS_HOME", str(tmp_path / "elsewhere"))
    assert made(patience).manifest.origin == str(theirs)
    assert not (store.manifests() / "mine.toml").exists()
    monkeypatch.setenv("DSETS_HOME", str(tmp_path / "third"))
    with pytest.raises(DigestError, match="came out otherwise"):
        made(patience, Selection(("dog",), 5, ("val",)))


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(), "a subset of everything is the dataset itself"),
        (Selection((), 0), "no images wanted"),
        (Selection((), 5, only=True), "none is named"),
        (Selection(("cow",), 5), "no such class"),
        (Selection(("cat",), 5, subclasses=True), "no hierarchy of its classes is known"),
        (Selection((), 5, subclasses=True), "none is named"),
        (Selection(("cat",), 5, ("walk",)), "no such split"),
    ],
)
def test_what_cannot_be_meant(server: Server, selection: Selection, message: str) -> None:
    with pytest.raises((UsageError, dsets.errors.ManifestError), match=message):
        subset.plan(manifest.find("tiny"), selection, "mine")


def test_the_annotations_come_first_and_offline_says_so(server: Server) -> None:
    plan = subset.plan(manifest.find("tiny"), CATS, "mine")
    assert not plan.ready and not server.requests
    with pytest.raises(UsageError, match=r"annotations must be here first: annotations.zip"):
        subset.make(plan)
    with pytest.raises(OfflineError, match=r"offline, and val.zip is not here"):
        subset.make(planned(), offline=True)
