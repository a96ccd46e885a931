"""``dsets fetch --lock``, and what fetch and verify make of the lock."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsets import verify
from tests.cli import tiny

Run = Callable[[Sequence[str]], int]
FILES = tiny.files()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with the files, in a working folder of the test's own."""
    monkeypatch.setenv("DSETS_MANIFESTS", str(tiny.catalogue(tmp_path / "catalogue", FILES)))
    (tmp_path / "mirror").mkdir()
    for name, data in FILES.items():
        (tmp_path / "mirror" / name).write_bytes(data)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return str(tmp_path / "mirror")


def test_no_lock_is_written_unasked(cli: Run, mirror: str) -> None:
    assert cli(["fetch", "tiny", "--mirror", mirror]) == 0
    assert not Path("dsets.lock").exists()


def test_a_split_at_a_time_grows_the_lock(cli: Run, mirror: str) -> None:
    assert cli(["fetch", "tiny/test", "--mirror", mirror, "--lock"]) == 0
    assert len(json.loads(Path("dsets.lock").read_text())["datasets"]["tiny"]["files"]) == 2
    assert cli(["fetch", "tiny/train", "--mirror", mirror, "--lock"]) == 0
    assert set(json.loads(Path("dsets.lock").read_text())["datasets"]["tiny"]["files"]) == set(
        FILES
    )


def test_verify_checks_what_is_locked(
    cli: Run, mirror: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(["fetch", "tiny", "--mirror", mirror, "--lock"])
    capsys.readouterr()
    assert cli(["verify", "tiny"]) == 0
    assert capsys.readouterr().out.count("as locked") == 5
    lock = json.loads(Path("dsets.lock").read_text())
    for key, other, said in (("bytes", 7, "locked are 7"), ("sha256", "1" * 64, "locked is 1111")):
        lock["datasets"]["tiny"]["files"]["test-labels.gz"][key] = other
        Path("dsets.lock").write_text(json.dumps(lock))
        assert cli(["verify", "tiny"]) == 1
        wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG")]
        assert len(wrong) == 1 and said in wrong[0]


def test_fetch_refuses_what_contradicts_the_lock_until_it_is_renewed(
    cli: Run, mirror: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(["fetch", "tiny", "--mirror", mirror, "--lock"])
    text = Path("dsets.lock").read_text()
    sha256 = json.loads(text)["datasets"]["tiny"]["files"]["test-labels.gz"]["sha256"]
    Path("dsets.lock").write_text(text.replace(sha256, "1" * 64))
    assert cli(["fetch", "tiny", "--mirror", mirror]) == 1
    assert "publishes another test-labels.gz now" in capsys.readouterr().err
    assert cli(["fetch", "tiny", "--mirror", mirror, "--lock"]) == 0
    assert Path("dsets.lock").read_text() == text


def test_another_manifest_is_noted_by_fetch_and_wrong_for_verify(
    cli: Run, mirror: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(["fetch", "tiny", "--mirror", mirror, "--lock"])
    manifest = tmp_path / "catalogue" / "tiny.toml"
    manifest.write_text(manifest.read_text() + "# another mirror\n")
    assert cli(["fetch", "tiny", "--mirror", mirror]) == 0
    assert "the manifest of tiny changed" in capsys.readouterr().err
    assert cli(["verify", "tiny"]) == 1
    assert "locked was" in capsys.readouterr().out


def test_a_damaged_lock_is_one_error(
    cli: Run, mirror: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("dsets.lock").write_text("junk")
    assert cli(["fetch", "tiny", "--mirror", mirror]) == 1
    assert "dsets.lock: not a lock file" in capsys.readouterr().err


def test_verify_tells_a_damaged_lock_before_it_reads_anything(
    cli: Run, mirror: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(["fetch", "tiny", "--mirror", mirror])
    Path("dsets.lock").write_text("junk")

    def read(*args: object, **more: object) -> None:
        raise AssertionError("the files are read")

    monkeypatch.setattr(verify, "files", read)
    assert cli(["verify", "tiny"]) == 1
    assert "dsets.lock: not a lock file" in capsys.readouterr().err
