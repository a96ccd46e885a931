"""From a remote zip to a dataset: only what is needed, each image proved, nothing half."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsets
from dsets import fetch, manifest, readers, store, subset, verify
from dsets.errors import DigestError, FetchError, OfflineError, UsageError
from dsets.fetch import Patience
from dsets.manifest import Source
from dsets.subset import Selection, gathering
from tests.server import Route, Server
from tests.subset import tiny

CATS = Selection(("Cat",), 5, ("val",))


def planned(selection: Selection = CATS, name: str = "mine") -> subset.Plan:
    """The plan, with the annotations in the store."""
    parent = manifest.current("tiny")
    fetch.files(fetch.plan(parent, store.raw("tiny"), files=parent.part("annotations")))
    return subset.plan(parent, selection, name)


def made(patience: Patience, selection: Selection = CATS, name: str = "mine") -> subset.Made:
    return subset.make(planned(selection, name), patience=patience)


def written(name: str) -> dict[str, bytes]:
    """The subset's raw files, but the receipts, which have times."""
    return {path.name: path.read_bytes() for path in store.raw(name).glob("[!.]*")}


def sound(found: manifest.Manifest) -> bool:
    """Whether ``dsets verify --deep`` would be content."""
    folder = store.raw(found.name)
    sources = [Source(found, split, folder) for split in found.splits]
    return all(r.ok for r in [verify.files(found, folder), *map(verify.samples, sources)])


def samples(name: str, split: str) -> list[readers.Sample]:
    found = manifest.find(name)
    source = Source(found, found.split(split), store.raw(name))
    reader = readers.load(found.reader)
    return list(reader.samples(source, range(len(reader.table(source)))))


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


def places(plan: subset.Plan) -> list[str]:
    return [one.place for one in plan.shares[0].pictures]


def resized(server: Server, tmp_path: Path, contents: dict[str, bytes], val: bytes) -> None:
    """Serve another val.zip, and describe it so."""
    server.routes["/val.zip"].data = val
    tiny.catalogue(tmp_path / "manifests", contents | {"val.zip": val}, server.url)


def test_a_member_that_was_damaged_on_its_way_is_asked_for_again(
    server: Server, patience: Patience
) -> None:
    first = made(patience, name="first")
    requests, route = first.requests, server.routes["/val.zip"]
    good = route.data
    with zipfile.ZipFile(io.BytesIO(good)) as archive:  # the last to be asked for
        damaged = max(places(planned()), key=lambda name: archive.getinfo(name).header_offset)
    wanted = tiny.picture(int(damaged[4:8]))
    route.data = good.replace(wanted, wanted[:-9] + b"\0" * 9)
    asked = 0

    def mended(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked == requests + 1:
            route.data = good

    route.on_request = mended
    done = subset.make(planned(), jobs=1, patience=patience)
    assert not done.lacking["val"] and done.requests == requests + 1
    assert done.contents == first.contents and done.received < first.received + 70_000


def test_what_the_host_lacks_is_listed_and_tried_again(
    server: Server, patience: Patience, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    absent, damaged, no_image = places(planned())[:3]
    data = tiny.picture(int(damaged[4:8]))
    with zipfile.ZipFile(io.BytesIO(contents["val.zip"])) as archive:
        members = {n: archive.read(n) for n in archive.namelist() if n != absent}
    lame = tiny.packed(members | {no_image: b"no image"}).replace(data, data[:-9] + b"\0" * 9)
    resized(server, tmp_path, contents, lame)
    done = made(patience)
    assert [(one.place, one.reason) for one in done.lacking["val"]] == [
        (absent, gathering.ABSENT),
        (damaged, gathering.DAMAGED),
        (no_image, gathering.UNDECODABLE),
    ]
    there = [one.key for one in samples("mine", "val")]
    assert there == [one[4:8] for one in places(planned())[3:]]
    assert sound(done.manifest)

    server.routes["/val.zip"].data = lame  # nothing better: the same again, and only the lacking
    again = made(patience)
    assert again.lacking == done.lacking and not again.had

    resized(server, tmp_path, contents, contents["val.zip"])
    whole = made(patience)
    assert not whole.lacking["val"] and whole.manifest.split("val").samples == 5
    assert whole.received < 5 * 30_000


class _Pipe(io.RawIOBase):
    """What a zip is streamed into: sizes and CRC-32 come behind each member."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.data += data
        return len(data)


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("large", [False, True])
def test_a_streamed_or_zip64_archive_from_a_server_that_cuts_and_tells_no_length(
    server: Server,
    patience: Patience,
    tmp_path: Path,
    contents: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    large: bool,
) -> None:
    wanted = places(planned())
    members, pipe = unzipped(contents["val.zip"]), _Pipe()
    with monkeypatch.context() as patch:
        if large:  # as if it had more than 4 GiB: every size and offset is in 8 bytes
            patch.setattr(zipfile, "ZIP64_LIMIT", 1)
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
            for name, data in members.items():
                archive.writestr(name, data)
    packed = bytes(pipe.data)
    assert (b"PK\6\6" in packed[-200:]) == large and b"PK\7\x08" in packed
    resized(server, tmp_path, contents, packed)
    server.routes["/val.zip"].cut_after, server.routes["/val.zip"].cuts = 500, 4
    server.routes["/val.zip"].length = None
    done = made(patience)
    assert not done.lacking["val"]
    assert {one.values["image"] for one in samples("mine", "val")} == {members[n] for n in wanted}


def test_members_that_cannot_be_taken_out_are_listed_and_the_rest_comes(
    server: Server, patience: Patience, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    encrypted, twice, strange, link, good = places(planned())
    out, members = io.BytesIO(), unzipped(contents["val.zip"])
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if name == link else 0o100644) << 16
            method = zipfile.ZIP_BZIP2 if name == strange else zipfile.ZIP_STORED
            archive.writestr(info, data, method)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(twice, b"another")
    data = bytearray(out.getvalue())
    entry = data.rfind(encrypted.encode()) - 46
    assert data[entry : entry + 4] == b"PK\1\2"
    data[entry + 8] |= 1
    resized(server, tmp_path, contents, bytes(data))
    done = made(patience)
    assert [(one.place, one.reason) for one in done.lacking["val"]] == [
        (encrypted, "in the archive it is encrypted"),
        (twice, "in the archive it is there twice"),
        (strange, "in the archive it is packed by method 12, neither stored nor deflated"),
        (link, "in the archive it is a symbolic link"),
    ]
    assert [one.values["image"] for one in samples("mine", "val")] == [members[good]]
    assert sound(done.manifest)


def test_a_second_address_has_what_the_first_lacks(
    server: Server, patience: Patience, contents: dict[str, bytes]
) -> None:
    data = tiny.picture(int(places(planned())[0][4:8]))
    lame = contents["val.zip"].replace(data, data[:-9] + b"\0" * 9)
    server.routes["/mirror/val.zip"] = Route(lame)
    parent = manifest.find("tiny")
    plan = subset.plan(parent, CATS, "mine", mirrors=[f"{server.url}/mirror"])
    done = subset.make(plan, patience=patience)
    assert not done.lacking["val"]
    assert done.addresses == (f"{server.url}/mirror/val.zip", f"{server.url}/val.zip")


def no_ranges(route: Route) -> None:
    route.ranges = False


def another_range(route: Route) -> None:
    route.headers = {"Content-Range": f"bytes 0-0/{len(route.data)}"}


def cut_short(route: Route) -> None:
    route.data = route.data[:-100]


def no_zip(route: Route) -> None:
    route.data = b"<html>" + bytes(len(route.data) - 6)


def page(route: Route) -> None:
    route.statuses = [403] * 100


def silent(route: Route) -> None:
    route.stall_after = 0


def changing(route: Route) -> None:
    route.on_request = lambda route: setattr(route, "etag", f'"{id(object())}{os.urandom(4)!r}"')


@pytest.mark.parametrize(
    "spoil", [no_ranges, another_range, cut_short, no_zip, page, silent, changing]
)
def test_a_bad_server_leaves_nothing_and_the_next_address_serves(
    server: Server, contents: dict[str, bytes], spoil: object
) -> None:
    patience = Patience(connect_s=5, read_s=0.2, pause_s=0, tries=2)
    planned()
    bad = Route(contents["val.zip"])
    server.routes["/mirror/val.zip"] = bad
    spoil(bad)  # type: ignore[operator]
    plan = subset.plan(manifest.find("tiny"), CATS, "mine", mirrors=[f"{server.url}/mirror"])
    kept = server.routes.pop("/val.zip")
    with pytest.raises(FetchError, match=r"5 of 5 images could not be fetched.*mirror/val.zip: "):
        subset.make(plan, patience=patience)
    assert "mine" not in manifest.names() and not written("mine")
    server.routes["/val.zip"] = kept
    done = subset.make(plan, patience=patience)
    assert not done.lacking["val"] and done.addresses[-1] == f"{server.url}/val.zip"


def test_a_host_of_single_images_that_lacks_some(
    server: Server, patience: Patience, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    tiny.catalogue(tmp_path / "manifests", contents, server.url, singly=True)
    server.routes["/val.zip"].ranges = False
    plan = planned()
    absent, forbidden, busy, page, last = places(plan)
    for place in places(plan):
        server.routes[f"/{place}"] = Route(tiny.picture(int(place[4:8])))
    del server.routes[f"/{absent}"]
    server.routes[f"/{forbidden}"].statuses = [403] * 9
    server.routes[f"/{busy}"].statuses = [503, 503]
    server.routes[f"/{page}"].data = b"<html>not here</html>"
    before = len(server.requests)
    done = subset.make(plan, patience=patience)
    assert [(one.place, one.reason) for one in done.lacking["val"]] == [
        (absent, gathering.GONE),
        (forbidden, gathering.GONE),
        (page, gathering.UNDECODABLE),
    ]
    assert done.requests == len(server.requests) - before == 1 + 5 + 2
    assert [one.key for one in samples("mine", "val")] == [busy[4:8], last[4:8]]
    assert sound(done.manifest)


def test_single_images_below_a_mirror(
    server: Server, patience: Patience, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    tiny.catalogue(tmp_path / "manifests", contents, server.url, singly=True)
    planned()
    del server.routes["/val.zip"]
    mirrors = [f"{server.url}/m"]
    plan = subset.plan(manifest.find("tiny"), CATS, "mine", mirrors=mirrors)
    for place in places(plan):
        server.routes[f"/m/{place}"] = Route(tiny.picture(int(place[4:8])))
    done = subset.make(plan, patience=patience)
    assert not any(done.lacking.values())
    assert done.addresses == (f"{server.url}/m/val",)


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
