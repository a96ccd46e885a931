"""Several files, several processes, and every way to be stopped."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from dsets import fetch
from dsets.errors import FetchError, OfflineError, SpaceError
from dsets.fetch import Patience
from dsets.manifest import File, Manifest
from dsets.progress import Event
from tests.fetch.conftest import DATA, Get, file_of, manifest_of
from tests.server import Route, Server

FETCH = """
import pickle, sys
from dsets import fetch
manifest, folder = pickle.load(sys.stdin.buffer)
fetch.files(
    fetch.plan(manifest, folder),
    accept_terms=True,
    patience=fetch.Patience(pause_s=0),
    progress=lambda event: print(event.done, flush=True),
)
"""


def start(manifest: Manifest, folder: Path) -> subprocess.Popen[bytes]:
    """The same fetch in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    process.stdin.write(pickle.dumps((manifest, folder)))
    process.stdin.close()
    return process


def end(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    assert process.stdout and process.stderr
    with process.stdout, process.stderr:
        said = process.stderr.read().decode()
    return process.wait(60), said


def at(server: Server, *files: File) -> Manifest:
    """A manifest whose files lie on the server under their names."""
    return manifest_of(
        *(
            File(f.name, (f"{server.url}/{f.name}",), f.bytes, f.sha256, f.sha1, f.md5)
            for f in files
        )
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_come_at_once_and_in_the_plans_order(server: Server, folder: Path) -> None:
    bodies = {f"{n}.bin": hashlib.shake_128(b"%d" % n).digest(50_000) for n in range(6)}
    # The first is answered only when another has been asked for.
    meet = threading.Barrier(2, timeout=30)
    gate = {"0.bin": lambda route: meet.wait(), "1.bin": lambda route: meet.wait()}
    for name, body in bodies.items():
        server.routes[f"/{name}"] = Route(body, on_request=gate.get(name))
    manifest = at(server, *(file_of(body, name) for name, body in bodies.items()))
    paths = fetch.files(fetch.plan(manifest, folder), jobs=2)
    assert [path.name for path in paths] == list(bodies)
    assert [path.read_bytes() for path in paths] == list(bodies.values())


def test_a_second_call_asks_no_server(server: Server, folder: Path) -> None:
    server.routes["/a.bin"] = Route(DATA)
    manifest = at(server, file_of(DATA))
    fetch.files(fetch.plan(manifest, folder))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    fetch.files(fetch.plan(manifest, folder))
    assert len(server.requests) == 1
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_one_failing_file_does_not_keep_the_others(server: Server, folder: Path) -> None:
    server.routes["/b.bin"] = Route(DATA)
    manifest = at(server, file_of(DATA), file_of(DATA, "b.bin"), file_of(DATA, "c.bin"))
    with pytest.raises(
        FetchError,
        match=rf"2 files .*: a\.bin \({len(DATA):,} bytes\); c\.bin .*; got http://127.0.0.1:\d+/: "
        r"answered 404 .*\(2 times\); another try will not help",
    ) as caught:
        fetch.files(fetch.plan(manifest, folder), jobs=1)
    assert str(caught.value).count("(--mirror)") == 1
    assert names(folder) == [".b.bin.receipt.json", "b.bin"]


def test_what_failed_in_another_way_is_told_with_its_own_address(
    server: Server, folder: Path, patience: Patience
) -> None:
    server.routes["/b.bin"] = Route(DATA + b"more")
    files = (file_of(DATA), file_of(DATA, "b.bin"), file_of(DATA, "c.bin"))
    with pytest.raises(FetchError) as caught:
        fetch.files(fetch.plan(at(server, *files), folder), jobs=1, patience=patience)
    assert "/: answered 404 Not Found (2 times); " in str(caught.value)
    assert re.search(rf"/b\.bin: has {len(DATA) + 4} bytes, the manifest", str(caught.value))


def test_of_very_many_files_the_first_are_told(server: Server, folder: Path) -> None:
    files = [file_of(DATA, f"{number}.bin") for number in range(50)]
    with pytest.raises(FetchError, match=r"50 files .*; … 42 more; got") as caught:
        fetch.files(fetch.plan(at(server, *files), folder), jobs=4)
    assert len(str(caught.value)) < 600


def test_a_file_that_nobody_gives_is_told_with_what_was_expected(
    server: Server, folder: Path
) -> None:
    file = file_of(DATA)
    manifest = at(server, file)
    with pytest.raises(FetchError) as caught:
        fetch.files(fetch.plan(manifest, folder))
    error = caught.value
    assert (error.where, error.expected) == (
        file.name,
        f"{len(DATA):,} bytes of sha256 {file.sha256}",
    )
    assert error.tried == ((manifest.files[0].addresses[0], "answered 404 Not Found"),)
    assert len(str(error)) < 400


def test_a_wrong_file_under_the_final_name_stays_until_the_right_one_is_proved(
    server: Server, folder: Path, patience: Patience
) -> None:
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"mine")
    manifest = at(server, file_of(DATA))
    with pytest.raises(FetchError):
        fetch.files(fetch.plan(manifest, folder), patience=patience)
    assert (folder / "a.bin").read_bytes() == b"mine"
    server.routes["/a.bin"] = Route(DATA)
    fetch.files(fetch.plan(manifest, folder))
    assert (folder / "a.bin").read_bytes() == DATA


def test_a_file_without_published_facts_is_taken_and_its_digest_remembered(
    server: Server, folder: Path
) -> None:
    server.routes["/a.bin"] = Route(DATA)
    (path,) = fetch.files(fetch.plan(at(server, File("a.bin")), folder))
    receipt = fetch.receipt(path)
    assert receipt and receipt.digests == {"sha256": hashlib.sha256(DATA).hexdigest()}
    assert receipt.address == f"{server.url}/a.bin"


@pytest.mark.parametrize("facts", [{}, {"bytes": None}, {"sha256": None}, {"md5": None}])
def test_a_folder_is_a_mirror_with_resume_and_digest(
    folder: Path, tmp_path: Path, facts: dict[str, None]
) -> None:
    mirror = tmp_path / "mirror with space"
    mirror.mkdir()
    (mirror / "a.bin").write_bytes(DATA)
    folder.mkdir()
    (folder / "a.bin.part").write_bytes(DATA[:12345])
    plan = fetch.plan(manifest_of(file_of(DATA, **facts)), folder, mirrors=[str(mirror)])
    (path,) = fetch.files(plan)
    assert path.read_bytes() == DATA


def test_what_is_no_file_in_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "page").write_bytes(b"<html>")
    (tmp_path / "short").write_bytes(DATA[1:])
    found = {"pipe": "not a file", "folder": "not a file", "none": "no such", "page": "has 6 bytes"}
    found |= {"short": f"has {len(DATA) - 1} bytes"}
    for name, reason in found.items():
        address = (tmp_path / name).as_uri()
        plan = fetch.plan(manifest_of(file_of(DATA, addresses=(address,))), folder)
        with pytest.raises(FetchError, match=reason):
            fetch.files(plan)
    assert names(folder) == []


def test_offline_uses_what_is_here_and_lists_what_is_not(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.routes |= {f"/{name}": Route(DATA) for name in ("a.bin", "b.bin", "c.bin")}
    manifest = at(server, *(file_of(DATA, name) for name in ("a.bin", "b.bin", "c.bin")))
    fetch.files(fetch.plan(manifest, folder, files=["b.bin"]))
    asked = len(server.requests)
    with pytest.raises(OfflineError, match=r"a\.bin, c\.bin"):
        fetch.files(fetch.plan(manifest, folder), offline=True)
    monkeypatch.setenv("DSETS_OFFLINE", "1")
    with pytest.raises(OfflineError):
        fetch.files(fetch.plan(manifest, folder))
    fetch.files(fetch.plan(manifest, folder, files=["b.bin"]))
    assert len(server.requests) == asked
    monkeypatch.setenv("DSETS_OFFLINE", "0")
    fetch.files(fetch.plan(manifest, folder))


def test_offline_may_still_copy_from_a_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(DATA)
    plan = fetch.plan(manifest_of(file_of(DATA)), folder, mirrors=[str(tmp_path)])
    (path,) = fetch.files(plan, offline=True)
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("access", ["login", "on request", "withdrawn"])
def test_closed_access_says_where_to_go_unless_all_is_here(folder: Path, access: str) -> None:
    manifest = manifest_of(file_of(DATA, addresses=("http://h/a.bin",)), access=access)
    with pytest.raises(FetchError, match=r"a\.bin; see http://127.0.0.1/home; run 'dsets adopt"):
        fetch.files(fetch.plan(manifest, folder))
    folder.mkdir()
    (folder / "a.bin").write_bytes(DATA)
    fetch.files(fetch.plan(manifest, folder))


def test_too_small_a_disk_is_known_before_anything_is_asked(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 0, len(DATA) - 1))
    with pytest.raises(SpaceError, match=f"expected {len(DATA)} bytes free"):
        fetch.files(fetch.plan(at(server, file_of(DATA)), folder))
    assert server.requests == []
    assert not folder.exists()


def test_an_unknown_size_that_proves_too_large_is_refused_in_time(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 0, 1000))
    server.routes["/a.bin"] = Route(DATA)
    with pytest.raises(SpaceError, match="disk is full"):
        fetch.files(fetch.plan(at(server, File("a.bin")), folder))


def test_a_folder_that_cannot_be_written_is_one_clear_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    plan = fetch.plan(at(server, file_of(DATA)), tmp_path / "file" / "raw")
    with pytest.raises(FetchError, match="cannot be written"):
        fetch.files(plan)


def test_a_store_that_cannot_be_written_can_be_used(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.bin").write_bytes(DATA)
    (folder / ".a.bin.receipt.json").mkdir()  # what even root cannot write over
    (path,) = fetch.files(fetch.plan(manifest_of(file_of(DATA)), folder))
    assert path.read_bytes() == DATA


def test_progress_counts_to_the_end_and_announces_every_file_first(
    server: Server, folder: Path
) -> None:
    server.routes |= {"/a.bin": Route(DATA), "/b.bin": Route(DATA)}
    manifest = at(server, file_of(DATA), file_of(DATA, "b.bin"))
    events: list[Event] = []
    fetch.files(fetch.plan(manifest, folder), progress=events.append)
    assert [(e.task, e.done) for e in events[:2]] == [("a.bin", 0), ("b.bin", 0)]
    for name in ("a.bin", "b.bin"):
        *_, last = (event for event in events if event.task == name)
        assert (last.done, last.total, last.finished) == (len(DATA), len(DATA), True)


def test_a_progress_function_that_fails_ends_the_work_with_its_error(
    server: Server, folder: Path
) -> None:
    server.routes["/a.bin"] = Route(DATA, stall_after=1_000_000)
    server.routes["/b.bin"] = Route(DATA)

    def progress(event: Event) -> None:
        if event.finished:
            raise RuntimeError("enough")

    manifest = at(server, file_of(DATA), file_of(DATA, "b.bin"))
    with pytest.raises(RuntimeError, match="enough"):
        fetch.files(fetch.plan(manifest, folder), progress=progress)
    assert (folder / "b.bin").read_bytes() == DATA


def test_kill_9_anywhere_leaves_a_part_that_the_next_call_finishes(
    server: Server, folder: Path
) -> None:
    route = server.routes["/a.bin"] = Route(DATA)
    manifest = at(server, file_of(DATA))
    for stop in (0, 1, 400_000, 1_000_000):
        route.stall_after = stop
        server.stalled.clear()
        process = start(manifest, folder)
        assert server.stalled.wait(60)
        process.kill()
        assert end(process)[0] == -signal.SIGKILL
        assert "a.bin" not in names(folder)
    route.stall_after = None
    assert end(start(manifest, folder)) == (0, "")
    assert (folder / "a.bin").read_bytes() == DATA
    assert names(folder) == [".a.bin.receipt.json", "a.bin"]


def test_a_whole_file_that_a_power_cut_gave_its_parts_name_back_is_not_fetched_again(
    get: Get, server: Server, folder: Path
) -> None:
    server.routes["/a.bin"] = Route(DATA)
    path = get(file_of(DATA))
    path.rename(path.with_name("a.bin.part"))
    before = len(server.requests)
    assert get(file_of(DATA)).read_bytes() == DATA
    assert len(server.requests) == before
    assert names(folder) == [".a.bin.receipt.json", "a.bin"]


def test_ctrl_c_ends_a_silent_transfer_at_once_and_keeps_the_part(
    server: Server, folder: Path
) -> None:
    route = server.routes["/a.bin"] = Route(DATA, stall_after=1_000_000)
    manifest = at(server, file_of(DATA))
    process = start(manifest, folder)
    assert process.stdout
    assert any(int(line) for line in process.stdout), "some bytes have come"
    process.send_signal(signal.SIGINT)
    code, said = end(process)  # far sooner than the 30 s of silence that are allowed
    assert code != 0 and "KeyboardInterrupt" in said
    assert "a.bin.part" in names(folder)
    route.stall_after = None
    (path,) = fetch.files(fetch.plan(manifest, folder))
    assert path.read_bytes() == DATA


def test_ctrl_c_does_not_wait_for_a_server_that_gives_no_answer_at_all(
    server: Server, folder: Path
) -> None:
    came = threading.Event()

    def never(route: Route) -> None:
        came.set()
        server.release.wait()

    server.routes["/a.bin"] = Route(DATA, on_request=never)
    process = start(at(server, file_of(DATA)), folder)
    assert came.wait(60)
    process.send_signal(signal.SIGINT)
    code, said = end(process)
    assert code != 0 and "KeyboardInterrupt" in said


def test_of_many_processes_one_downloads(server: Server, folder: Path) -> None:
    route = server.routes["/a.bin"] = Route(DATA, stall_after=1_000_000)
    manifest = at(server, file_of(DATA))
    first = start(manifest, folder)
    assert server.stalled.wait(60)
    route.stall_after = None
    others = [start(manifest, folder) for _ in range(4)]
    server.release.set()  # the first is cut, goes on by range, and the others find the file
    assert [end(process) for process in [first, *others]] == [(0, "")] * 5
    assert (folder / "a.bin").read_bytes() == DATA
    assert [asked.status for asked in server.requests] == [200, 206]
    assert names(folder) == [".a.bin.receipt.json", "a.bin"]


def test_when_the_one_that_downloads_is_killed_another_goes_on(
    server: Server, folder: Path
) -> None:
    route = server.routes["/a.bin"] = Route(DATA, stall_after=1_000_000)
    manifest = at(server, file_of(DATA))
    first = start(manifest, folder)
    assert server.stalled.wait(60)
    route.stall_after = None
    waits = threading.Event()

    def watch(event: Event) -> None:
        if "another process" in event.message:
            waits.set()
            first.kill()

    (path,) = fetch.files(fetch.plan(manifest, folder), progress=watch)
    assert waits.is_set()
    assert end(first)[0] == -signal.SIGKILL
    assert path.read_bytes() == DATA


def test_half_written_notes_of_a_killed_process_are_swept(server: Server, folder: Path) -> None:
    folder.mkdir()
    debris = ["..a.bin.receipt.json.123.part", "..a.bin.part.json.9.part"]
    for name in [*debris, "..b.bin.receipt.json.123.part", "a.bin.part"]:
        (folder / name).write_text("{")
    server.routes["/a.bin"] = Route(DATA)
    fetch.files(fetch.plan(at(server, file_of(DATA)), folder))
    assert names(folder) == ["..b.bin.receipt.json.123.part", ".a.bin.receipt.json", "a.bin"]


def test_the_receipt_says_what_was_found(server: Server, folder: Path) -> None:
    server.routes["/a.bin"] = Route(DATA)
    fetch.files(fetch.plan(at(server, file_of(DATA)), folder))
    found = json.loads((folder / ".a.bin.receipt.json").read_text())
    assert found["digests"] == {
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "md5": hashlib.md5(DATA).hexdigest(),
    }


def test_a_file_that_was_not_begun_needs_no_look_through_the_folder(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []

    def look(where: Path) -> list[Path]:
        looks.append(where)
        return []

    monkeypatch.setattr("dsets.fetch.part.half_written", look)
    server.routes["/a.bin"] = Route(DATA)
    fetch.files(fetch.plan(at(server, file_of(DATA)), folder))
    assert looks == []
