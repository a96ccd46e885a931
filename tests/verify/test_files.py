"""Raw files against a manifest: every byte read anew, receipts not believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets import fetch, verify
from dsets.manifest import File
from dsets.progress import Event
from tests.fetch.conftest import DATA, file_of, manifest_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def test_right_files_pass_and_say_what_was_compared(folder: Path) -> None:
    (folder / "a.bin").write_bytes(DATA)
    report = verify.files(manifest_of(file_of(DATA)), folder)
    (check,) = report.checks
    assert report.ok and report.subject == "tiny"
    assert check.message == f"{len(DATA)} bytes, sha256, md5 as published"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.integers(0, 8 * 5000 - 1))
def test_any_flipped_bit_is_found_though_size_time_and_receipt_say_otherwise(
    folder: Path, bit: int
) -> None:
    data, path = bytearray(DATA[:5000]), folder / "a.bin"
    manifest = manifest_of(file_of(bytes(data)))
    path.write_bytes(data)
    fetch.files(fetch.plan(manifest, folder))
    times = path.stat()
    data[bit // 8] ^= 1 << bit % 8
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fetch.plan(manifest, folder).steps[0].action == "have", "the receipt is deceived"
    (check,) = verify.files(manifest, folder).checks
    assert not check.ok
    assert check.details["expected_sha256"] == manifest.files[0].sha256
    assert fetch.plan(manifest, folder).steps[0].action == "download", "fetch will mend it"
    path.unlink()


@pytest.mark.parametrize("wrong", ["sha256", "sha1", "md5"])
def test_each_published_digest_counts(folder: Path, wrong: str) -> None:
    (folder / "a.bin").write_bytes(DATA)
    (check,) = verify.files(manifest_of(file_of(DATA, **{wrong: "0" * 40})), folder).checks
    assert not check.ok and check.message.startswith(f"{wrong} ")


def test_a_wrong_size_and_a_missing_file_are_told(folder: Path) -> None:
    (folder / "a.bin").write_bytes(DATA[1:])
    report = verify.files(manifest_of(file_of(DATA), file_of(DATA, "b.bin")), folder)
    assert not report.ok
    assert [check.message for check in report.checks] == [
        f"{len(DATA) - 1} bytes, the manifest says {len(DATA)}",
        "missing",
    ]


def test_official_files_that_never_were_here_are_not_wrong_where_others_were_adopted(
    folder: Path,
) -> None:
    (folder / "mine.bin").write_bytes(DATA)
    mine = file_of(DATA, "mine.bin", unverified=True)
    manifest = manifest_of(file_of(DATA), mine)
    absent, adopted = verify.files(manifest, folder).checks
    assert absent.ok and absent.message.startswith("not here: others were adopted in its place")
    assert adopted.ok
    (folder / "a.bin").write_bytes(DATA)
    fetch.files(fetch.plan(manifest, folder, files=["a.bin"]))
    (folder / "a.bin").unlink()
    (folder / "mine.bin").unlink()
    assert [check.message for check in verify.files(manifest, folder).checks] == ["missing"] * 2


def test_a_file_without_published_digest_is_compared_with_what_was_fetched(folder: Path) -> None:
    manifest = manifest_of(File("a.bin"))
    (folder / "a.bin").write_bytes(DATA)
    (check,) = verify.files(manifest, folder).checks
    assert check.ok and "none was remembered" in check.message
    fetch.files(fetch.plan(manifest, folder))
    (check,) = verify.files(manifest, folder).checks
    assert check.ok and "as when it was fetched" in check.message
    (folder / "a.bin").write_bytes(DATA[::-1])
    (check,) = verify.files(manifest, folder).checks
    assert not check.ok and "when it was fetched" in check.message


def test_progress_announces_every_file_and_ends_at_its_size(folder: Path) -> None:
    for name in ("a.bin", "b.bin"):
        (folder / name).write_bytes(DATA)
    events: list[Event] = []
    manifest = manifest_of(file_of(DATA), file_of(DATA, "b.bin"))
    verify.files(manifest, folder, progress=events.append)
    assert [(e.task, e.done) for e in events[:2]] == [("a.bin", 0), ("b.bin", 0)]
    assert [e.done for e in events if e.finished] == [len(DATA)] * 2
