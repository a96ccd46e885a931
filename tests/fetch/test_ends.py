"""Files that come without a size, a digest and a length: are they whole?"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest

from dsets import direct, fetch
from dsets.errors import FetchError
from dsets.fetch import Patience, ends
from dsets.manifest import File
from dsets.progress import Event
from tests.fetch.conftest import DATA, manifest_of
from tests.server import Route, Server

CUT = 1_000_000


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", data)
    return out.getvalue()


def tarred(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


FORMATS = {
    "zip": zipped(DATA),
    "gzip": gzip.compress(DATA),
    "several gzips": gzip.compress(DATA) * 2,
    "bzip2": bz2.compress(DATA),
    "xz": lzma.compress(DATA, preset=0),
    "tar": tarred(DATA),
    "tar.gz": gzip.compress(tarred(DATA)),
}


def untold(data: bytes, **more: object) -> Route:
    """A server that closes the connection where the file ends, or earlier."""
    return Route(data, length=None, ranges=False, etag=None, modified=None, **more)  # type: ignore[arg-type]


def get(server: Server, folder: Path, *paths: str, events: list[Event] | None = None) -> Path:
    file = File("a.bin", tuple(server.url + path for path in paths))
    told = [] if events is None else events
    plan = fetch.plan(manifest_of(file), folder)
    (path,) = fetch.files(plan, patience=Patience(pause_s=0, tries=2), progress=told.append)
    return path


def note(path: Path) -> str:
    receipt = fetch.receipt(path)
    assert receipt
    return receipt.note


def test_another_address_is_asked_where_one_tells_no_end(server: Server, folder: Path) -> None:
    server.routes |= {"/cut": untold(DATA, cut_after=CUT), "/a.bin": Route(DATA)}
    path = get(server, folder, "/cut", "/a.bin")
    assert path.read_bytes() == DATA and note(path) == ""


def test_what_nothing_tells_the_end_of_is_taken_at_last_and_noted(
    server: Server, folder: Path
) -> None:
    server.routes["/cut"] = untold(DATA, cut_after=CUT)
    events: list[Event] = []
    path = get(server, folder, "/cut", "/none", events=events)
    assert path.read_bytes() == DATA[:CUT]
    assert note(path) == ends.NOTE
    assert [asked.path for asked in server.requests] == ["/cut", "/none"]  # it is here already
    assert any("nothing tells whether all" in event.message for event in events)


def test_another_address_need_not_send_again_what_it_gives_the_same_length_of(
    server: Server, folder: Path
) -> None:
    server.routes |= {"/whole": untold(DATA), "/told": Route(DATA)}
    path = get(server, folder, "/whole", "/told")
    receipt = fetch.receipt(path)
    assert path.read_bytes() == DATA and note(path) == ""
    assert receipt and receipt.address == f"{server.url}/whole"


def test_the_same_length_of_something_else_is_another_file(server: Server, folder: Path) -> None:
    server.routes |= {"/other": untold(DATA[::-1]), "/told": Route(DATA)}
    assert get(server, folder, "/other", "/told").read_bytes() == DATA


def test_an_archive_that_is_wrong_otherwise_is_not_cut(server: Server, folder: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("cut short in a name")
        link.type = tarfile.SYMTYPE
        archive.addfile(link)
    server.routes["/a"] = untold(out.getvalue())
    path = get(server, folder, "/a")
    assert path.read_bytes() == out.getvalue() and note(path) == ends.NOTE


def test_a_length_or_chunks_tell_the_end(server: Server, folder: Path) -> None:
    server.routes |= {"/a": Route(DATA), "/b": Route(DATA, chunked=True)}
    for path in ("/a", "/b"):
        made = get(server, folder, path)
        assert note(made) == ""
        made.unlink()


@pytest.mark.parametrize("kind", FORMATS)
def test_an_archive_tells_its_end(server: Server, folder: Path, kind: str) -> None:
    data = FORMATS[kind]
    server.routes["/a"] = untold(data, cut_after=CUT, cuts=1)
    path = get(server, folder, "/a")
    assert path.read_bytes() == data and note(path) == ""
    assert len(server.requests) == 2


@pytest.mark.parametrize("kind", FORMATS)
def test_an_archive_tells_its_end_where_it_was_written_past_the_page_cache(
    server: Server, folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "WORTH", 1 << 16)
    server.routes["/a"] = untold(FORMATS[kind])
    path = get(server, folder, "/a")
    assert path.read_bytes() == FORMATS[kind] and note(path) == ""
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_an_archive_that_is_cut_each_time_is_refused(
    server: Server, folder: Path, kind: str
) -> None:
    server.routes["/a"] = untold(FORMATS[kind], cut_after=CUT)
    with pytest.raises(FetchError, match="in the middle of the file"):
        get(server, folder, "/a")
    assert not (folder / "a.bin").exists()


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (None, CUT, 1),
        (CUT, None, 2),
        (None, None, 1),
        (None, 300, 1),
        (300, CUT, 2),
    ],
)
def test_of_two_that_tell_no_end_the_longer_one_is_taken(
    server: Server, folder: Path, first: int | None, second: int | None, wanted: int
) -> None:
    server.routes |= {
        f"/{number}": untold(DATA, cut_after=cut) for number, cut in ((1, first), (2, second))
    }
    path = get(server, folder, "/1", "/2")
    assert path.read_bytes() == DATA[: max(first or len(DATA), second or len(DATA))]
    receipt = fetch.receipt(path)
    assert note(path) == ends.NOTE
    assert receipt and receipt.address == f"{server.url}/{wanted}"
    assert [asked.path for asked in server.requests] == ["/1", "/2"]


def test_of_two_that_tell_no_end_and_differ_the_first_one_stays(
    server: Server, folder: Path
) -> None:
    changed = DATA[: CUT * 2] + b"other" + DATA[CUT * 2 :]
    server.routes |= {"/1": untold(DATA), "/2": untold(changed), "/3": untold(DATA[::-1])}
    path = get(server, folder, "/1", "/2", "/3")
    assert path.read_bytes() == DATA and note(path) == ends.NOTE
    assert [asked.path for asked in server.requests] == ["/1", "/2", "/3"]
