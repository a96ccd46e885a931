"""``dsets verify``: exit code and words for what is right, changed, missing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.cli import tiny

Run = Callable[[Sequence[str]], int]
FILES = tiny.files()


@pytest.fixture
def raw(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DSETS_MANIFESTS", str(tiny.catalogue(tmp_path / "catalogue", FILES)))
    folder = home / "raw" / "tiny"
    folder.mkdir(parents=True)
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    return folder


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_right_files_are_exit_code_0(
    cli: Run, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["verify", "tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.startswith("ok ") for line in lines)


def test_a_flipped_bit_and_a_missing_file_are_exit_code_1_and_named(
    cli: Run, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(raw / "train-labels.gz", 30)
    (raw / "test-labels.gz").unlink()
    assert cli(["verify", "tiny"]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG")]
    assert len(wrong) == 2
    assert "train-labels.gz: sha256" in wrong[0] and "the manifest says" in wrong[0]
    assert "test-labels.gz: missing" in wrong[1]


def test_json_has_every_check(cli: Run, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "test-labels.gz").write_bytes(b"")
    assert cli(["verify", "tiny", "--json"]) == 1
    (report,) = json.loads(capsys.readouterr().out)
    assert not report["ok"] and report["subject"] == "tiny"
    assert [check["ok"] for check in report["checks"]] == [True, True, True, False]
    assert report["checks"][3]["details"]["bytes"] == 0


def test_deep_reads_the_samples_of_every_split(
    cli: Run, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["verify", "tiny", "--deep", "--json"]) == 0
    subjects = [report["subject"] for report in json.loads(capsys.readouterr().out)]
    assert subjects == ["tiny", "tiny/train", "tiny/test"]


def test_a_folder_of_packs_is_verified_pack_by_pack(
    cli: Run, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "packs"
    assert cli(["prepare", "tiny", "--out", str(out)]) == 0
    capsys.readouterr()
    assert cli(["verify", str(out)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    (shard,) = (out / "train").glob("shard-*.h5")
    flip(shard, shard.stat().st_size // 2)
    assert cli(["verify", str(out)]) == 1
    assert cli(["verify", str(out / "test")]) == 0
    capsys.readouterr()
    assert cli(["verify", str(out / "train"), "--json"]) == 1
    (report,) = json.loads(capsys.readouterr().out)
    assert {check["details"]["file"] for check in report["checks"]} == {shard.name}


@pytest.mark.parametrize(
    ("subject", "said"),
    [("tinny", "unknown dataset"), (".", "no pack here"), ("./x", "no pack here")],
)
def test_what_is_neither_dataset_nor_pack_is_one_clear_error(
    cli: Run,
    raw: Path,
    capsys: pytest.CaptureFixture[str],
    subject: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert cli(["verify", subject]) == 1
    assert said in capsys.readouterr().err


def test_a_split_alone(cli: Run, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "train-labels.gz").unlink()
    assert cli(["verify", "tiny"]) == 1
    capsys.readouterr()
    assert cli(["verify", "tiny/test", "--deep"]) == 0
    said = capsys.readouterr().out
    assert "tiny/test  samples: 4 samples read" in said and "train" not in said
    assert cli(["verify", "tiny/valid"]) == 1
    assert "expected one of train, test" in capsys.readouterr().err


def test_what_only_an_unnamed_split_needs_may_be_missing_and_the_rest_is_read(
    cli: Run, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "catalogue" / "tiny.toml"
    text = path.read_text().replace("[split.test]", "[split.test]\non_request = true")
    path.write_text(text.replace('name = "test', 'part = "test"\nname = "test'))
    for kind in ("images", "labels"):
        (raw / f"test-{kind}.gz").unlink()
    assert cli(["verify", "tiny", "--deep"]) == 0
    said = capsys.readouterr().out
    assert said.count("fetched only by its split or part") == 2
    assert "tiny/train  samples: 8 samples read" in said and "tiny/test " not in said


def test_samples_of_a_damaged_file_are_read_all_the_same(
    cli: Run, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw / "train-labels.gz").write_bytes(gzip.compress(tiny.idx((7,))))
    assert cli(["verify", "tiny", "--deep"]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG")]
    assert "train-labels.gz" in wrong[0] and any("tiny/train" in line for line in wrong[1:])
