"""Images of a subset from wherever they are: damaged, lacking, behind bad servers, one by one."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dsets import manifest, subset
from dsets.errors import FetchError
from dsets.fetch import Patience
from dsets.subset import gathering
from tests.server import Route, Server
from tests.subset import tiny
from tests.subset.making import CATS, made, planned, samples, sound, written


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
    untold = server.routes[f"/{last}"]  # nothing but the picture tells that it was cut
    untold.length, untold.cut_after, untold.cuts = None, 100, 1
    before = len(server.requests)
    done = subset.make(plan, patience=patience)
    assert [(one.place, one.reason) for one in done.lacking["val"]] == [
        (absent, gathering.GONE),
        (forbidden, gathering.GONE),
        (page, gathering.UNDECODABLE),
    ]
    assert done.requests == len(server.requests) - before == 1 + 5 + 2 + 1
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
