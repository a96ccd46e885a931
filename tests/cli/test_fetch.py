"""``dsets fetch`` as users type it, from Python's plain web server, which knows no ranges."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli import tiny

Run = Callable[[Sequence[str]], int]
FILES = tiny.files()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of ``python -m http.server`` over the files of the dataset ``tiny``."""
    monkeypatch.setenv("DSETS_MANIFESTS", str(tiny.catalogue(tmp_path / "catalogue", FILES)))
    (tmp_path / "mirror").mkdir()
    for name, data in FILES.items():
        (tmp_path / "mirror" / name).write_bytes(data)
    handler = partial(Quiet, directory=str(tmp_path / "mirror"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def raw(home: Path) -> Path:
    return home / "raw" / "tiny"


def test_fetch_brings_the_files_and_prints_where_they_lie(
    cli: Run, mirror: str, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["fetch", "tiny", "--mirror", mirror]) == 0
    out, err = capsys.readouterr()
    assert out.split() == [str(raw / name) for name in FILES]
    assert all((raw / name).read_bytes() == data for name, data in FILES.items())
    assert "licence: CC0-1.0" in err
    assert all(f"{name}: done" in err for name in FILES)


def test_a_second_fetch_says_nothing_of_licences_or_progress(
    cli: Run, mirror: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(["fetch", "tiny", "--mirror", mirror])
    capsys.readouterr()
    assert cli(["fetch", "tiny", "--offline"]) == 0
    assert capsys.readouterr().err == ""


def test_quiet_says_nothing_but_where_the_files_lie(
    cli: Run, mirror: str, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["fetch", "tiny", "--mirror", mirror, "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [str(raw / name) for name in FILES]


def test_a_part_from_before_is_completed_though_the_server_knows_no_ranges(
    cli: Run, mirror: str, raw: Path
) -> None:
    raw.mkdir(parents=True)
    (raw / "train-images.gz.part").write_bytes(FILES["train-images.gz"][:50])
    assert cli(["fetch", "tiny", "--mirror", mirror]) == 0
    assert (raw / "train-images.gz").read_bytes() == FILES["train-images.gz"]


def test_dry_run_prints_the_plan_and_does_nothing(
    cli: Run, mirror: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["fetch", "tiny", "--mirror", mirror, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"{mirror}/train-images.gz" in out
    assert "download" in out and "to download" in out
    assert not home.exists()


def test_dry_run_as_json_has_actions_bytes_and_addresses(
    cli: Run, mirror: str, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw.mkdir(parents=True)
    (raw / "train-images.gz").write_bytes(FILES["train-images.gz"])
    (raw / "train-labels.gz.part").write_bytes(FILES["train-labels.gz"][:10])
    assert cli(["fetch", "tiny", "--mirror", mirror, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    by_name = {file["name"]: file for file in plan["files"]}
    assert by_name["train-images.gz"]["action"] == "have"
    assert by_name["train-labels.gz"]["action"] == "resume"
    assert by_name["train-labels.gz"]["have_bytes"] == 10
    assert by_name["test-images.gz"]["addresses"] == [f"{mirror}/test-images.gz"]
    there = len(FILES["train-images.gz"]) + 10
    assert plan["download_bytes"] == sum(map(len, FILES.values())) - there


def test_json_says_where_each_file_came_from(
    cli: Run, mirror: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["fetch", "tiny", "--mirror", mirror, "--json", "--quiet"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [file["from"] for file in files] == [f"{mirror}/{name}" for name in FILES]


def test_one_split_fetches_its_files_only(cli: Run, mirror: str, raw: Path) -> None:
    assert cli(["fetch", "tiny/test", "--mirror", mirror]) == 0
    assert sorted(p.name for p in raw.glob("*.gz")) == ["test-images.gz", "test-labels.gz"]


def test_the_mirror_may_come_from_the_environment_and_be_a_folder(
    cli: Run, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSETS_MIRROR", str(tmp_path / "mirror"))
    assert cli(["fetch", "tiny", "--offline"]) == 0


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["tiny"], "names no address; missing: train-images.gz"),
        (["tiny", "--offline"], "offline, and not all files are here: train-images.gz"),
        (["tiny", "--mirror", "ftp://h"], "cannot fetch from this mirror"),
        (["tiny", "--mirror", "notaurl", "--dry-run"], "no such folder to fetch from"),
        (["tiny/validation"], "no such split"),
        (["tinny"], "unknown dataset"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(
    cli: Run, mirror: str, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    assert cli(["fetch", *argv]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert errors[0].startswith("dsets: error: ") and said in errors[0]


def test_a_dataset_behind_a_login_says_where_to_go(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny.catalogue(tmp_path / "catalogue", FILES, access="login")
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    assert cli(["fetch", "tiny"]) == 1
    assert "needs a login" in (said := capsys.readouterr().err)
    assert "https://example.org/tiny" in said


WITHDRAWN = """
schema = 1
name = "gone"
title = "Gone"
homepage = "https://example.org/gone"
licence = "none"
access = "withdrawn"
citation = "Nobody: Nothing, 2026."

[[file]]
name = "gone.tar"

[catalogue]
status = "withdrawn by its makers"
size = "nothing"
"""


def test_a_withdrawn_dataset_comes_from_a_mirror_only(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone.toml").write_text(WITHDRAWN)
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "gone.tar").write_bytes(b"what is left")
    assert cli(["fetch", "gone"]) == 1
    assert "withdrawn by its makers" in (said := capsys.readouterr().err) and "--mirror" in said
    given = ["fetch", "gone", "--accept-terms"]
    assert cli([*given, "--mirror", str(tmp_path / "mirror")]) == 0
    (path,) = capsys.readouterr().out.split()
    assert Path(path).read_bytes() == b"what is left"
    assert cli(given) == 0, "and what is here is here"
