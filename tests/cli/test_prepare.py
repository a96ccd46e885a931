"""``dsets prepare`` as a user types it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsets import Pack, fetch, manifest, store

Cli = Callable[[Sequence[str]], int]


@pytest.fixture(autouse=True)
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dataset ``dots``: 40 and 8 images of 2x2 pixels, fetched from a folder."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    text = (
        'schema = 1\nname = "dots"\ntitle = "Dots"\nhomepage = "https://example.org"\n'
        'licence = "CC0-1.0"\naccess = "open"\ncitation = "none"\nreader = "idx"\n'
        'pipeline = "as_is"\n'
    )
    splits = ""
    for split, count in (("train", 40), ("test", 8)):
        data = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (count, 2, 2))
        data += bytes(range(4)) * count
        (mirror / split).write_bytes(data)
        text += f'[[file]]\nname = "{split}"\nbytes = {len(data)}\n'
        text += f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
        text += f'addresses = ["https://example.org/{split}"]\n'
        splits += (
            f"[split.{split}]\nsamples = {count}\ntraining = {str(split == 'train').lower()}\n"
        )
        splits += f'files = ["{split}"]\n[split.{split}.reader]\nimage = "{split}"\n'
    folder = tmp_path / "manifests"
    folder.mkdir()
    text += splits + '[field.image]\ndtype = "uint8"\nshape = [2, 2, 1]\n'
    (folder / "dots.toml").write_text(text)
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    found = manifest.find("dots")
    fetch.files(fetch.plan(found, store.raw("dots"), mirrors=[str(mirror)]))
    return store.raw("dots")


def test_it_makes_one_pack_a_split_in_the_store(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["prepare", "dots"]) == 0
    folder = store.packs("dots", "as_is")
    assert [len(Pack.open(folder / split)) for split in ("train", "test")] == [40, 8]
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["split", "train", "test"]
    assert str(folder / "train") in out[1] and "made" in out[1]


def test_again_it_says_already_there(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["prepare", "dots"]) == 0
    capsys.readouterr()
    assert cli(["prepare", "dots"]) == 0
    assert capsys.readouterr().out.count("already there") == 2


def test_one_split_into_a_folder(cli: Cli, tmp_path: Path) -> None:
    assert cli(["prepare", "dots/test", "--out", str(tmp_path / "packs"), "--quiet"]) == 0
    assert [path.name for path in (tmp_path / "packs").iterdir()] == ["test"]


def test_a_dry_run_shows_the_plan_and_does_nothing(
    cli: Cli, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(home.rglob("*"))
    assert cli(["prepare", "dots", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "image: uint8 (2, 2, 1)" in text and "to make" in text
    assert cli(["prepare", "dots", "--dry-run", "--json", "--shard-size", "500B"]) == 0
    packs = json.loads(capsys.readouterr().out)["packs"]
    assert [pack["split"] for pack in packs] == ["train", "test"]
    assert packs[0]["shards"] > 1 and packs[0]["state"] == "new"
    assert sorted(home.rglob("*")) == before


def test_json_gives_an_event_a_line_and_the_packs_last(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["prepare", "dots", "--json"]) == 0
    captured = capsys.readouterr()
    events = [json.loads(line) for line in captured.out.splitlines()]
    assert [event["event"] for event in events] == [
        "plan",
        *["progress", "shard", "progress"] * 2,
        "done",
    ]
    assert events[0]["packs"][0]["shards"] == 1
    assert events[2]["samples"] == 40 and events[2]["name"] == "shard-00000.h5"
    assert [events[3][name] for name in ("done", "total", "unit", "bad", "eta_s")] == [
        40,
        40,
        "samples",
        0,
        0,
    ]
    train = events[-1]["packs"][0]
    pack = Pack.open(Path(train["path"]))
    assert (train["digest"], train["samples"], train["bad"]) == (pack.digest, 40, 0)
    assert captured.err == ""


def test_another_shard_size_is_an_error_and_force_replaces(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["prepare", "dots", "--quiet"]) == 0
    assert cli(["prepare", "dots", "--shard-size", "500B"]) == 1
    assert "--force" in capsys.readouterr().err
    assert cli(["prepare", "dots", "--shard-size", "500B", "--force"]) == 0
    assert len(Pack.open(store.packs("dots", "as_is") / "train").index.shards) > 1


def test_missing_raw_files_name_the_command_to_run(
    cli: Cli, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw / "test").unlink()
    assert cli(["prepare", "dots"]) == 1
    assert "run 'dsets fetch dots'" in capsys.readouterr().err


SOUR = """
from dsets.errors import DataError
STATISTICS = None
def fields(manifest): return manifest.fields
def make(sample):
    if sample.key.endswith("3"):
        raise DataError("so\\x1b[2Jur")
    return sample.values
"""


def test_bad_samples_are_listed_for_people_and_machines_and_limited(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "sour.py"
    recipe.write_text(SOUR)
    made = ["prepare", "dots", "--pipeline", str(recipe)]
    assert cli([*made, "--max-bad", "3", "--quiet"]) == 1
    assert "at most 3 of 40, got 4, the first: train/00003" in capsys.readouterr().err
    assert cli([*made, "--max-bad", "12.5%", "--json"]) == 0
    captured = capsys.readouterr()
    events = [json.loads(line) for line in captured.out.splitlines()]
    bad = [event for event in events if event["event"] == "quarantined"]
    assert [event["key"] for event in bad] == [
        *(f"train/000{n}3" for n in range(4)),
        "test/00003",
    ]
    assert events[-1]["packs"][0]["quarantine"][0]["sha256"] == bad[0]["sha256"]
    assert "dots/train: 4 bad so far" in captured.err
    assert cli([*made, "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "quarantine of train:\ntrain/00003  " in text
    assert "\x1b" not in text


def test_a_job_that_fails_says_so_in_its_last_event(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "sour.py"
    recipe.write_text(SOUR)
    made = ["prepare", "dots", "--pipeline", str(recipe), "--json", "--quiet"]
    assert cli([*made, "--max-bad", "3"]) == 1
    captured = capsys.readouterr()
    events = [json.loads(line) for line in captured.out.splitlines()]
    assert [event["event"] for event in events][-2:] == ["progress", "error"]
    last = events[-1]
    assert (last["kind"], last["what"], last["where"]) == (
        "PrepareError",
        "too many bad samples",
        "dots/train",
    )
    assert last["expected"] == "at most 3 of 40" and last["got"].startswith("4, the first: ")
    assert captured.err.startswith("dsets: error: dots/train: too many bad samples")
    assert cli(["prepare", "nowhere", "--json"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["kind"] == "ManifestError"
    assert cli([*made, "--max-bad", "3", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["peak_bytes"] > 0


def test_an_interrupted_job_says_so_in_its_last_event(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "stopped.py"
    recipe.write_text(SOUR.replace('DataError("so\\x1b[2Jur")', "KeyboardInterrupt"))
    made = ["prepare", "dots", "--pipeline", str(recipe), "--json", "--quiet"]
    assert cli(made) == 130
    captured = capsys.readouterr()
    last = json.loads(captured.out.splitlines()[-1])
    assert (last["event"], last["kind"], last["what"]) == ("error", "Interrupted", "interrupted")
    assert captured.err.strip() == "dsets: interrupted; the same command goes on from here"


@pytest.mark.parametrize("limit", ["-1", "1.5", "101%", "%", "all", "", "1e3", "nan%", "9" * 40])
def test_a_limit_that_is_none_is_wrong_usage(cli: Cli, limit: str) -> None:
    assert cli(["prepare", "dots", "--max-bad", limit]) == 2


@pytest.mark.parametrize("size", ["0", "-1", "64 elephants", "1.5MB", "", "MiB", "9" * 40])
def test_a_size_that_is_none_is_wrong_usage(cli: Cli, size: str) -> None:
    assert cli(["prepare", "dots", "--shard-size", size]) == 2


@pytest.mark.parametrize(
    ("size", "expected"),
    [("64KiB", 2**16), ("1MB", 10**6), ("256 MiB", 2**28), ("2GiB", 2**31), ("7", 7), ("7b", 7)],
)
def test_sizes_are_read_as_people_write_them(size: str, expected: int) -> None:
    from dsets.cli._job_options import Bytes

    assert Bytes().convert(size, None, None) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "unknown dataset"),
        (["dots/nowhere"], "no such split"),
        (["dots", "--pipeline", "nowhere"], "unknown pipeline"),
        (["dots", "--pipeline", "nowhere.py"], "no such pipeline"),
        (["dots", "--workers", "1", "--scheduler", "tcp://127.0.0.1:1"], "workers or a scheduler"),
    ],
)
def test_errors_are_one_line(
    cli: Cli, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["prepare", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dsets: error: ") and said in line
