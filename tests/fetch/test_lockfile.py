"""A lock pins bytes; it never adds an address, and is read as a stranger's word."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from dsets import fetch
from dsets.errors import FetchError, LockError
from dsets.fetch import Patience, lockfile
from dsets.manifest import File, Manifest
from tests.fetch.conftest import DATA, file_of, manifest_of
from tests.server import Route, Server

SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dsets.lock"


def bare(server: Server, name: str = "a.bin") -> Manifest:
    """A manifest that publishes neither size nor digest of its file, and has two addresses."""
    addresses = (f"{server.url}/gone", f"{server.url}/a.bin")
    return manifest_of(File(name, addresses=addresses))


def locked(server: Server, folder: Path, path: Path, patience: Patience) -> lockfile.Locked:
    server.routes["/a.bin"] = Route(DATA)
    plan = fetch.plan(bare(server), folder)
    fetch.files(plan, patience=patience)
    return lockfile.update(path, plan)["tiny"]


def test_it_says_manifest_size_digest_and_address(
    server: Server, folder: Path, path: Path, patience: Patience
) -> None:
    one = locked(server, folder, path, patience)
    assert one == lockfile.read(path)["tiny"]
    assert one.manifest == "0" * 64
    assert one.files["a.bin"] == lockfile.LockedFile(len(DATA), SHA256, f"{server.url}/a.bin")


def test_the_address_that_gave_the_file_is_asked_first(
    server: Server, folder: Path, path: Path, tmp_path: Path, patience: Patience
) -> None:
    one = locked(server, folder, path, patience)
    server.requests.clear()
    pinned = lockfile.pinned(bare(server), one, path)
    fetch.files(fetch.plan(pinned, tmp_path / "again"), patience=patience)
    assert [request.path for request in server.requests] == ["/a.bin"]


def test_other_bytes_than_the_locked_are_refused_though_nobody_publishes_a_digest(
    server: Server, folder: Path, path: Path, tmp_path: Path, patience: Patience
) -> None:
    one = locked(server, folder, path, patience)
    server.routes["/a.bin"] = Route(DATA[:-1] + b"?")
    pinned = lockfile.pinned(bare(server), one, path)
    with pytest.raises(FetchError, match=f"the lock file says {SHA256}"):
        fetch.files(fetch.plan(pinned, tmp_path / "again"), patience=patience)
    server.routes["/a.bin"] = Route(DATA + b"?")
    with pytest.raises(FetchError, match=f"the lock file says {len(DATA)}"):
        fetch.files(fetch.plan(pinned, tmp_path / "again"), patience=patience)
    assert not (tmp_path / "again" / "a.bin").exists()


def test_an_address_of_a_strangers_lock_is_never_asked(
    server: Server, tmp_path: Path, path: Path
) -> None:
    one = lockfile.Locked("0" * 64, {"a.bin": lockfile.LockedFile(1, SHA256, "http://evil/a")})
    pinned = lockfile.pinned(bare(server), one, path)
    assert pinned.files[0].addresses == bare(server).files[0].addresses


def test_a_manifest_that_publishes_something_else_now_is_refused(path: Path) -> None:
    one = lockfile.Locked("0" * 64, {"a.bin": lockfile.LockedFile(len(DATA), "1" * 64)})
    with pytest.raises(LockError, match=r"another a\.bin"):
        lockfile.pinned(manifest_of(file_of(DATA)), one, path)


def test_a_file_that_the_manifest_lost_is_named(path: Path) -> None:
    one = lockfile.Locked("0" * 64, {"b.bin": lockfile.LockedFile(1, "1" * 64)})
    with pytest.raises(LockError, match=r"no file 'b\.bin'"):
        lockfile.pinned(manifest_of(file_of(DATA)), one, path)


def test_of_two_issues_the_locked_one_is_the_only_one(path: Path) -> None:
    file = file_of(DATA, also=(f"sha256:{'1' * 64}",))
    one = lockfile.Locked("0" * 64, {"a.bin": lockfile.LockedFile(len(DATA), "1" * 64)})
    (pinned,) = lockfile.pinned(manifest_of(file), one, path).files
    assert (pinned.sha256, pinned.md5, pinned.also) == ("1" * 64, None, ())


def test_what_else_is_locked_stays_and_what_contradicts_the_manifest_goes(
    server: Server, folder: Path, path: Path, patience: Patience
) -> None:
    locked(server, folder, path, patience)
    data = json.loads(path.read_text())
    data["datasets"]["other"] = data["datasets"]["tiny"]
    data["datasets"]["tiny"]["files"]["gone.bin"] = {"bytes": 1, "sha256": "1" * 64, "address": ""}
    path.write_text(json.dumps(data))
    now = lockfile.update(path, fetch.plan(bare(server), folder))
    assert set(now) == {"tiny", "other"} and set(now["tiny"].files) == {"a.bin"}
    assert lockfile.read(path) == now


def test_a_local_folder_is_not_written_down(folder: Path, path: Path, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "a.bin").write_bytes(DATA)
    plan = fetch.plan(manifest_of(file_of(DATA)), folder, mirrors=[str(tmp_path / "mirror")])
    fetch.files(plan)
    lockfile.update(path, plan)
    assert str(tmp_path) not in path.read_text()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"version": 2, "datasets": {}}',
        b'{"version": 1, "datasets": {"a": {"manifest": "x", "files": {}}}}',
        b'{"version": 1, "datasets": {"a": {"manifest": "%s", "files": {"b": {"bytes": -1, '
        b'"sha256": "%s", "address": ""}}}}}' % (b"0" * 64, b"0" * 64),
        b'{"version": 1, "datasets": {"\\u001b[2J": {"manifest": "%s", "files": {}}}}'
        % (b"0" * 64),
        b"[" * 100_000,
    ],
)
def test_a_mangled_lock_is_one_error(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(LockError, match="not a lock file"):
        lockfile.read(path)


def test_a_lock_that_is_no_file_is_one_error(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(LockError, match="not a file"):
        lockfile.read(path)
