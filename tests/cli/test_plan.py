"""``dsets plan`` as a user types it: what was measured, and nothing left behind."""

from __future__ import annotations

import json
import shlex
from collections import namedtuple
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsets import manifest, prepare, store
from dsets.pipelines import as_is
from dsets.prepare import estimate, storage
from tests.cli.tiny import catalogue, files

Cli = Callable[[Sequence[str]], int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def home_there(home: Path) -> Path:
    home.mkdir()
    return home


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    contents = files()
    monkeypatch.setenv("DSETS_MANIFESTS", str(catalogue(tmp_path / "manifests", contents)))
    return contents


def test_a_dataset_without_encoded_images_gets_a_simple_plan(
    cli: Cli, capsys: Capture, tiny: dict[str, bytes]
) -> None:
    assert cli(["plan", "tiny", "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "0 of 4 files are here" in text and "generated: the files are not here" in text
    assert text.endswith("Run:\n  dsets fetch tiny\n  dsets prepare tiny\n")
    assert "JPEG" not in text


def test_the_commands_name_the_folder_that_was_given(
    cli: Cli, capsys: Capture, tiny: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "my packs"
    assert cli(["plan", "tiny", "--out", str(out), "--json", "--quiet"]) == 0
    last = json.loads(capsys.readouterr().out)["commands"][-1]
    assert shlex.split(last) == ["dsets", "prepare", "tiny", "--out", str(out)]


def test_the_commands_quote_the_path_of_a_pipeline(
    cli: Cli, capsys: Capture, tiny: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "my pipelines"
    folder.mkdir()
    path = folder / "as it's.py"
    path.write_text(Path(as_is.__file__).read_text())
    assert cli(["plan", "tiny", "--pipeline", str(path), "--json", "--quiet"]) == 0
    words = shlex.split(json.loads(capsys.readouterr().out)["commands"][-1])
    assert words[words.index("--pipeline") + 1] == str(path)


def test_the_commands_repeat_the_size_of_shards_that_was_given(
    cli: Cli, capsys: Capture, tiny: dict[str, bytes]
) -> None:
    assert cli(["plan", "tiny", "--shard-size", "1MB", "--json", "--quiet"]) == 0
    last = json.loads(capsys.readouterr().out)["commands"][-1]
    assert last == "dsets prepare tiny --shard-size 1000000"


def test_a_disk_that_is_too_small_for_the_sums_of_small_shards_is_told(
    cli: Cli, capsys: Capture, home_there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**12, 0, 27 * 10**10))
    assert cli(["plan", "imagenet/train", "--quiet"]) == 0
    assert "would refuse" not in capsys.readouterr().out
    assert cli(["plan", "imagenet/train", "--shard-size", "10MB", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    shards = found["packs"][0]["shards"]
    assert found["peak_bytes"] > found["pack_bytes"] + shards * 8 * 256 * 256 * 3
    assert found["free_bytes"] == 27 * 10**10
    assert cli(["plan", "imagenet/train", "--shard-size", "10MB", "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "would refuse" in text and "take a larger --shard-size" in text
    assert cli(["plan", "imagenet/train", "--shard-size", "1kB", "--quiet"]) == 1
    assert "too many shards" in capsys.readouterr().err


def test_files_that_are_here_are_not_downloaded_and_are_tried(
    cli: Cli, capsys: Capture, tiny: dict[str, bytes]
) -> None:
    raw = store.raw("tiny")
    raw.mkdir(parents=True)
    for name, data in tiny.items():
        if name.startswith("train"):
            (raw / name).write_bytes(data)
    before = {path: path.read_bytes() for path in store.home().rglob("*") if path.is_file()}
    assert cli(["plan", "tiny", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measured"]["trial"]["own"] is True
    assert found["measured"]["trial"]["samples"] == 8 and found["samples"] == 12
    test = sum(len(data) for name, data in tiny.items() if name.startswith("test"))
    assert found["files"]["download_bytes"] == test
    assert found["files"]["here_bytes"] == sum(map(len, tiny.values())) - test
    assert found["commands"] == ["dsets fetch tiny", "dsets prepare tiny"]
    assert found["favours"] is None and found["pack_bytes"] == found["need_bytes"]
    assert {path: path.read_bytes() for path in store.home().rglob("*") if path.is_file()} == before
    assert cli(["plan", "tiny/train", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["commands"] == ["dsets prepare tiny/train"]


def test_photographs_are_weighed_as_pixels_and_as_jpeg(
    cli: Cli, capsys: Capture, home_there: Path
) -> None:
    assert cli(["plan", "imagenet/train", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["files"]["download_bytes"] == 147_897_477_120
    assert found["raw_pack_bytes"] == 1_281_167 * 196_608
    assert 0.03 < found["jpeg_pack_bytes"] / found["raw_pack_bytes"] < 0.5
    assert found["favours"] in ("raw", "JPEG") and found["cpu_hours"] > 0
    assert found["measured"]["storage"]["bytes"] > 0
    assert found["commands"][0] == "dsets adopt imagenet FOLDER"
    assert list(home_there.rglob("*")) == []


def test_the_choice_follows_the_storage(home_there: Path, tiny: dict[str, bytes]) -> None:
    from dataclasses import replace

    plan = prepare.plan(manifest.find("imagenet"), splits=["train"])
    found = estimate.measure(plan)
    trial = replace(found.trial, raw_bytes=196_608.0, jpeg_bytes=20_000.0, decode_s=1e-3)
    found = replace(found, trial=trial, cores=8)
    fast = replace(found, storage=storage.Storage(2e9, 1, direct=True))
    slow = replace(found, storage=storage.Storage(1e8, 1, direct=True))
    assert (fast.favours, slow.favours) == ("raw", "JPEG")
    assert (fast.raw_per_s or 0) // 1 == 10172 and fast.jpeg_per_s == 8000
    assert slow.jpeg_per_s == 5000 and slow.pipeline == "alexnet_jpeg"
    assert slow.commands()[-1] == "dsets prepare imagenet/train --pipeline alexnet_jpeg"
    assert replace(found, storage=None).favours is None


def test_where_nothing_can_be_written_nothing_is_measured(
    home_there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert storage.measure(Path("/proc/self/nowhere")) is None
    found = storage.measure(home_there / "not" / "yet" / "there", 16 << 20)
    assert found is not None and found.bytes == 16 << 20 and found.bytes_per_s > 0
    assert list(home_there.rglob("*")) == []
    assert storage.measure(home_there, 0) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "unknown dataset"),
        (["tiny/nowhere"], "no such split"),
        (["tiny", "--pipeline", "nowhere"], "unknown pipeline"),
    ],
)
def test_errors_are_one_line(
    cli: Cli, capsys: Capture, tiny: dict[str, bytes], arguments: list[str], said: str
) -> None:
    assert cli(["plan", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dsets: error: ") and said in line
