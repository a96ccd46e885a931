"""The plan: what is here, what is half here, what is to come, and that looking changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from dsets import fetch
from dsets.errors import ManifestError, UsageError
from dsets.manifest import File
from dsets.progress import Event
from tests.fetch.conftest import DATA, file_of, manifest_of


def here(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


def test_a_plan_of_nothing_is_all_download_and_makes_no_folder(folder: Path) -> None:
    plan = fetch.plan(manifest_of(file_of(DATA), file_of(b"xy", "b.bin")), folder)
    assert [step.action for step in plan.steps] == ["download", "download"]
    assert plan.download_bytes == plan.need_bytes == len(DATA) + 2
    assert not folder.exists()


def test_whole_half_and_wrong_files_are_told_apart(folder: Path) -> None:
    manifest = manifest_of(*(file_of(DATA, name) for name in ("whole", "half", "wrong", "long")))
    here(folder, "whole", DATA)
    here(folder, "half.part", DATA[:1000])
    here(folder, "wrong", b"x" + DATA[1:])
    here(folder, "long.part", DATA + b"x")
    before = snapshot(folder)
    plan = fetch.plan(manifest, folder)
    assert [step.action for step in plan.steps] == ["have", "resume", "download", "download"]
    assert [step.have_bytes for step in plan.steps] == [len(DATA), 1000, 0, 0]
    assert plan.download_bytes == 3 * len(DATA) - 1000
    assert plan.need_bytes == 2 * len(DATA) - 1000, "the long part frees what it has"
    assert snapshot(folder) == before


def test_a_part_without_digest_counts_only_where_its_origin_is_tried(folder: Path) -> None:
    here(folder, "a.bin.part", DATA[:1000])
    origin = {"address": "http://h/a.bin", "validator": '"1"', "bytes": None}
    here(folder, ".a.bin.part.json", json.dumps(origin).encode())
    actions = [
        fetch.plan(manifest_of(File("a.bin", (address,))), folder).steps[0].action
        for address in ("http://h/a.bin", "http://other/a.bin")
    ]
    assert actions == ["resume", "download"]


def test_mirrors_come_first_in_order_then_the_environment_then_the_manifest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSETS_MIRROR", str(folder))
    folder.mkdir()
    two = folder.parent.as_uri()
    manifest = manifest_of(file_of(DATA, "a b#.bin", addresses=("https://official/a",)))
    plan = fetch.plan(manifest, folder, mirrors=["http://one/x/", two, "http://one/x"])
    assert plan.steps[0].addresses == (
        "http://one/x/a%20b%23.bin",
        f"{two}/a%20b%23.bin",
        f"{folder.as_uri()}/a%20b%23.bin",
        "https://official/a",
    )


def test_a_relative_path_is_a_mirror(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.chdir(folder.parent)
    plan = fetch.plan(manifest_of(file_of(DATA)), folder, mirrors=["raw"])
    assert plan.steps[0].addresses == (f"{folder.as_uri()}/a.bin",)


@pytest.mark.parametrize("mirror", ["notaurl", "file:///no/such/folder", "a.bin"])
@pytest.mark.parametrize("given", [True, False])
def test_a_mirror_that_is_no_folder_is_refused_while_something_is_missing(
    folder: Path, mirror: str, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("a.bin").write_bytes(DATA)
    if not given:
        monkeypatch.setenv("DSETS_MIRROR", mirror)
    mirrors = [mirror] if given else []
    manifest = manifest_of(file_of(DATA))
    where = "mirror" if given else "DSETS_MIRROR"
    with pytest.raises(UsageError, match=f"^{where}: no such folder to fetch from"):
        fetch.plan(manifest, folder, mirrors=mirrors)
    folder.mkdir()
    Path("a.bin").rename(folder / "a.bin")
    assert not fetch.plan(manifest, folder, mirrors=mirrors).missing


@pytest.mark.parametrize("mirror", ["ftp://h", "s3://bucket", "javascript://x"])
def test_a_mirror_of_another_kind_is_refused(folder: Path, mirror: str) -> None:
    with pytest.raises(UsageError, match="cannot fetch from this mirror"):
        fetch.plan(manifest_of(file_of(DATA)), folder, mirrors=[mirror])


@pytest.mark.parametrize("access", ["login", "on request", "withdrawn"])
def test_official_addresses_are_left_out_where_access_is_not_open(
    folder: Path, access: str
) -> None:
    manifest = manifest_of(file_of(DATA, addresses=("http://h/a",)), access=access)
    assert fetch.plan(manifest, folder).steps[0].addresses == ()
    plan = fetch.plan(manifest, folder, mirrors=["http://m"])
    assert plan.steps[0].addresses == ("http://m/a.bin",)


def test_only_the_files_asked_for_are_planned(folder: Path) -> None:
    manifest = manifest_of(*(file_of(DATA, name) for name in "abc"))
    plan = fetch.plan(manifest, folder, files=["c", "a", "c"])
    assert [step.file.name for step in plan.steps] == ["c", "a"]
    with pytest.raises(ManifestError):
        fetch.plan(manifest, folder, files=["d"])


def hashed(manifest: object, folder: Path) -> bool:
    """Whether planning had to read the file."""
    told: list[Event] = []
    fetch.plan(manifest, folder, progress=told.append)  # type: ignore[arg-type]
    return bool(told)


def test_a_file_put_there_by_hand_is_hashed_once(folder: Path) -> None:
    manifest = manifest_of(file_of(DATA))
    path = here(folder, "a.bin", DATA)
    assert hashed(manifest, folder)
    assert hashed(manifest, folder), "planning itself remembers nothing"
    fetch.files(fetch.plan(manifest, folder))
    assert not hashed(manifest, folder)
    os.utime(path, ns=(1, 1))
    assert hashed(manifest, folder), "a touched file is looked at again"


def test_a_manifest_that_publishes_more_than_the_receipt_knows_is_looked_at_again(
    folder: Path,
) -> None:
    here(folder, "a.bin", DATA)
    manifest = manifest_of(file_of(DATA, md5=None))
    fetch.files(fetch.plan(manifest, folder))
    assert not hashed(manifest, folder)
    assert hashed(manifest_of(file_of(DATA, sha1=hashlib.sha1(DATA).hexdigest())), folder)


def test_a_receipt_of_other_digests_than_the_manifests_is_no_proof(folder: Path) -> None:
    here(folder, "a.bin", DATA)
    fetch.files(fetch.plan(manifest_of(file_of(DATA)), folder))
    other = manifest_of(file_of(DATA, sha256="0" * 64))
    assert fetch.plan(other, folder).steps[0].action == "download"


@pytest.mark.parametrize("junk", [b"", b"[]", b"\xff", b"{}", b"[" * 99_999, b'{"digests": 3}'])
def test_a_mangled_receipt_counts_as_none(folder: Path, junk: bytes) -> None:
    here(folder, "a.bin", DATA)
    manifest = manifest_of(file_of(DATA))
    fetch.files(fetch.plan(manifest, folder))
    here(folder, ".a.bin.receipt.json", junk)
    assert hashed(manifest, folder)
    assert fetch.plan(manifest, folder).steps[0].action == "have"


def test_another_issue_of_a_file_is_right_too(folder: Path) -> None:
    other = DATA[::-1]
    digest = hashlib.sha1(other).hexdigest()
    here(folder, "a.bin", other)
    for also, action in (((f"sha1:{digest}",), "have"), ((f"sha1:{'0' * 40}",), "download")):
        manifest = manifest_of(file_of(DATA, bytes=None, also=also))
        assert fetch.plan(manifest, folder).steps[0].action == action
