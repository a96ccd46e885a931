"""``dsets show``: a dataset with the state of its files, its samples, a pack."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import manifest, pack, store
from dsets.field import Field

Cli = Callable[[Sequence[str]], int]
Capture = pytest.CaptureFixture[str]

IMAGE = Field("image", "uint8", (2, 3, 1), layout="CHW")
LABEL = Field("label", "int64", (), classes=tuple(f"c{i}" for i in range(12)))


@pytest.fixture
def tiny(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset ``tiny`` of 12 pictures in the store, described in the user's folder."""
    folder = store.raw("tiny")
    folder.mkdir(parents=True)
    pixels = bytes(range(72))
    images = gzip.compress(struct.pack(">IIII", 0x803, 12, 2, 3) + pixels)
    labels = gzip.compress(struct.pack(">II", 0x801, 12) + bytes(range(12)))
    files = {"images.gz": images, "labels.gz": labels}
    toml = (
        'schema = 1\nname = "tiny"\ntitle = "Tiny"\nhomepage = ""\nlicence = "CC0"\n'
        'access = "open"\ncitation = "None."\nreader = "idx"\npipeline = "as_is"\n'
        'notes = "Made by a test."\n'
    )
    for name, data in files.items():
        (folder / name).write_bytes(data)
        toml += f'[[file]]\nname = "{name}"\nbytes = {len(data)}\n'
        toml += f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
    for split in ("train", "more"):
        toml += f'[split.{split}]\nsamples = 12\nfiles = ["images.gz", "labels.gz"]\n'
        toml += "training = true\n" if split == "train" else ""
        toml += f'[split.{split}.reader]\nimage = "images.gz"\nlabel = "labels.gz"\n'
    toml += '[field.image]\ndtype = "uint8"\nshape = [2, 3, 1]\n'
    toml += '[field.label]\ndtype = "int64"\nshape = []\n'
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "tiny.toml").write_text(toml)
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path / "manifests"))
    return folder


def made(folder: Path, split: str, statistics: bool, reason: str = "unreadable") -> None:
    """A pack of two shards of 4 and 2 samples, one sample left out."""
    shards = []
    images = np.arange(36, dtype=np.uint8).reshape(6, 2, 3, 1)
    for number, (start, stop) in enumerate([(0, 4), (4, 6)]):
        keys = [f"{split}/{i}" for i in range(start, stop)]
        columns: dict[str, Any] = {
            "image": images[start:stop],
            "label": np.arange(start, stop),
        }
        path = folder / f"shard-{number:05d}.h5"
        shards.append(pack.shard.write(path, (IMAGE, LABEL), keys, columns))
    pack.finish(
        folder,
        split=split,
        fields=(IMAGE, LABEL),
        shards=shards,
        statistics=pack.Statistics.of(images) if statistics else None,
        statistics_of=None if statistics else "d" * 64,
        quarantine=[pack.Quarantined(f"{split}/6", reason, "e" * 64)],
        samples_digest=pack.samples_digest([f"{split}/{i}" for i in range(6)]),
        provenance={"manifest": {"name": "tiny"}, "versions": [1, 2], "note": "\x1b[2J"},
    )


def test_a_dataset_with_everything_that_the_manifest_says(cli: Cli, capsys: Capture) -> None:
    assert cli(["show", "cifar10"]) == 0
    out = capsys.readouterr().out
    found = manifest.find("cifar10")
    (file,) = found.files
    for text in (
        found.title,
        found.homepage,
        found.licence,
        found.citation,
        found.origin,
        found.digest,
        "train  50,000  training  cifar-10-python.tar.gz",
        "image: uint8 (32, 32, 3)",
        "label: int64 ()  10 classes: airplane, automobile",
        "cifar-10-python.tar.gz  170 MB  absent",
        *file.addresses,
        *(member.name for member in file.members),
        *(member.md5 or "none" for member in file.members),
    ):
        assert text in out
    assert file.sha256 in out.split()
    assert file.md5 in out.split()


def test_json_says_the_same_for_machines(cli: Cli, capsys: Capture, home: Path) -> None:
    assert cli(["show", "cifar10", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = manifest.find("cifar10")
    for key in ("name", "title", "licence", "access", "citation", "digest", "reader", "schema"):
        assert told[key] == getattr(found, key)
    (file,) = told["files"]
    assert file["state"] == "absent"
    assert file["bytes"] == 170_498_071
    assert len(file["members"]) == 7
    assert told["splits"][1]["reader"]["batches"] == ["cifar-10-batches-py/test_batch"]
    assert told["fields"][0] == {
        "name": "image",
        "dtype": "uint8",
        "shape": [32, 32, 3],
        "classes": [],
    }
    assert told["store"] == str(home / "raw" / "cifar10")


def test_looking_creates_nothing(cli: Cli, home: Path) -> None:
    assert cli(["show", "mnist"]) == 0
    assert not home.exists()


def test_each_file_has_its_state_in_the_store(cli: Cli, tiny: Path, capsys: Capture) -> None:
    def states() -> list[str]:
        assert cli(["show", "tiny", "--json"]) == 0
        return [file["state"] for file in json.loads(capsys.readouterr().out)["files"]]

    assert states() == ["have", "have"]
    data = bytearray((tiny / "labels.gz").read_bytes())
    data[-1] ^= 1  # of the right size, and wrong
    (tiny / "labels.gz").write_bytes(data)
    assert states() == ["have", "absent"]
    (tiny / "images.gz").unlink()
    assert states() == ["absent", "absent"]


def test_the_readers_table(cli: Cli, tiny: Path, capsys: Capture) -> None:
    assert cli(["show", "tiny", "--samples"]) == 0
    out = capsys.readouterr().out
    assert "key" in out
    assert "train/00000" in out
    assert "train/00009" in out
    assert "train/00010" not in out
    assert out.endswith("10 of 12 samples of train\n")
    assert cli(["show", "tiny", "--samples", "--split", "more", "--limit", "0"]) == 0
    out = capsys.readouterr().out
    assert "more/00011" in out
    assert out.endswith("12 of 12 samples of more\n")
    assert cli(["show", "tiny", "--samples", "--limit", "3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["key"] for row in rows] == ["train/00000", "train/00001", "train/00002"]
    assert [row["label"] for row in rows] == [0, 1, 2]


def test_samples_of_what_is_not_here_say_which_command_brings_it(
    cli: Cli, tiny: Path, capsys: Capture
) -> None:
    (tiny / "labels.gz").unlink()
    assert cli(["show", "tiny", "--samples"]) == 1
    assert "labels.gz: not fetched yet; run: dsets fetch tiny" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("right", "wrong", "says", "commands"),
    [
        ('reader = "idx"', 'reader = "os"', "unknown value; expected one of cifar, coco, idx", 5),
        ("image = ", "imge = ", "train.reader: bad option imge, image; expected image, label", 4),
    ],
)
def test_a_reader_that_is_unknown_or_misused_is_one_line_and_exit_code_1(
    cli: Cli,
    tiny: Path,
    tmp_path: Path,
    capsys: Capture,
    right: str,
    wrong: str,
    says: str,
    commands: int,
) -> None:
    path = tmp_path / "manifests" / "tiny.toml"
    path.write_text(path.read_text().replace(right, wrong, 1))
    every = (
        ["show", "tiny", "--samples"],
        ["verify", "tiny"],
        ["prepare", "tiny"],
        ["prepare", "tiny", "--dry-run"],
        ["show", "tiny"],
    )
    for arguments in every[:commands]:
        assert cli(arguments) == 1
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith("dsets: error: ") and says in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mnits"], "did you mean mnist?"),
        ([""], "unknown dataset"),
        (["mnist", "--samples", "--split", "valid"], "expected one of train, test, got valid"),
        (["mnist", "--split", "valid"], "expected one of train, test, got valid"),
        (["coco2017", "--part", "pictures"], "expected one of images, annotations, "),
        (["./nowhere"], "no pack here"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_exit_code_1(
    cli: Cli, capsys: Capture, arguments: list[str], says: str
) -> None:
    assert cli(["show", *arguments]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["mnist", "--samples", "--limit", "-1"],
        ["coco2017", "--samples", "--part", "images"],
        ["./nowhere", "--samples"],
    ],
)
def test_options_that_cannot_be_meant_are_wrong_usage(cli: Cli, arguments: list[str]) -> None:
    assert cli(["show", *arguments]) == 2


def test_a_pack_with_everything_that_its_index_says(
    cli: Cli, tmp_path: Path, capsys: Capture
) -> None:
    made(tmp_path / "train", "train", statistics=True, reason="bad \x1b[2J")
    assert cli(["show", str(tmp_path / "train")]) == 0
    out = capsys.readouterr().out
    opened = pack.Pack.open(tmp_path / "train")
    for text in (
        "split              train",
        "samples            6",
        f"pack digest        {opened.digest}",
        f"samples digest     {opened.samples_digest}",
        "image: uint8 (2, 3, 1)  stored CHW\n",
        "label: int64 ()  12 classes: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, …",
        "shard-00000.h5  4",
        opened.index.shards[1].sha256,
        "of image, ",
        "manifest.name  tiny",
        "versions       1 2",
        f"quarantine, 1 samples\n  train/6  {'e' * 64}  bad \\x1b[2J",
    ):
        assert text in out
    assert "\x1b" not in out


def test_a_folder_of_packs_shows_each(cli: Cli, tmp_path: Path, capsys: Capture) -> None:
    made(tmp_path / "packs" / "train", "train", statistics=True)
    made(tmp_path / "packs" / "test", "test", statistics=False)
    assert cli(["show", str(tmp_path / "packs"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["split"] for one in told] == ["test", "train"]
    assert [one["statistics"] is None for one in told] == [True, False]
    assert told[0]["statistics_of"] == "d" * 64
    assert [shard["samples"] for shard in told[0]["shards"]] == [4, 2]
    assert told[0]["fields"][0]["layout"] == "CHW"
    assert told[0]["quarantine"] == [{"key": "test/6", "reason": "unreadable", "sha256": "e" * 64}]


def test_a_dataset_wins_over_a_folder_of_its_name_unless_there_is_a_slash(
    cli: Cli, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "mnist", "train", statistics=True)
    made(tmp_path / "mine", "train", statistics=True)
    monkeypatch.chdir(tmp_path)
    for name, start in (
        ("mnist", "mnist: MNIST"),
        ("./mnist", "pack mnist"),
        ("mine", "pack mine"),
    ):
        assert cli(["show", name]) == 0
        assert capsys.readouterr().out.startswith(start)


def test_a_damaged_pack_is_one_line_and_exit_code_1(
    cli: Cli, tmp_path: Path, capsys: Capture
) -> None:
    made(tmp_path / "train", "train", statistics=True)
    index = tmp_path / "train" / "index.json"
    index.write_text(index.read_text().replace("shard-00001.h5", "../shard.h5"))
    assert cli(["show", str(tmp_path / "train")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1


def test_a_split_or_a_part_of_a_dataset(cli: Cli, capsys: Capture) -> None:
    assert cli(["show", "coco2017", "--part", "annotations", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [file["name"] for file in shown["files"]] == ["annotations_trainval2017.zip"]
    assert {"train", "val"} < {split["name"] for split in shown["splits"]}
    assert cli(["show", "coco2017", "--split", "val", "--part", "images", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [file["name"] for file in shown["files"]] == ["val2017.zip"]
    assert [split["name"] for split in shown["splits"]] == ["val"]


@pytest.mark.parametrize("typed", ["nus-wide", "NUS_WIDE", "nuswide"])
def test_hyphens_and_capitals_of_a_name_do_not_matter(
    typed: str, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["show", typed]) == 0
    assert capsys.readouterr().out.startswith("nuswide: ")


def test_a_name_that_could_be_two_is_none(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = manifest.find("nuswide").origin
    page = Path(shipped).read_text()
    for name in ("a-bc", "ab-c"):
        (tmp_path / f"{name}.toml").write_text(page.replace('"nuswide"', f'"{name}"', 1))
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path))
    assert cli(["show", "abc"]) == 1
    assert "unknown dataset" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["coco2017/val", "coco_2017/validation", "COCO2017/val"])
def test_a_split_after_a_slash_is_that_split(typed: str, cli: Cli, capsys: Capture) -> None:
    assert cli(["show", typed, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], [one["name"] for one in shown["splits"]]) == ("coco2017", ["val"])


def test_the_samples_of_a_split_after_a_slash(cli: Cli, tiny: Path, capsys: Capture) -> None:
    assert cli(["show", "tiny/more", "--samples", "--limit", "2"]) == 0
    assert capsys.readouterr().out.endswith("2 of 12 samples of more\n")
    assert cli(["show", "tiny/more", "--split", "train"]) == 2
    assert cli(["show", "tiny/most"]) == 1
    assert "expected one of train, more, got most" in capsys.readouterr().err


def test_a_folder_of_that_path_is_shown_and_not_the_split(
    cli: Cli, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "mnist" / "train", "train", statistics=True)
    monkeypatch.chdir(tmp_path)
    assert cli(["show", "mnist/train"]) == 0
    assert capsys.readouterr().out.startswith("pack mnist/train")


def test_where_neither_pack_nor_dataset_has_the_name_the_nearest_is_told(
    cli: Cli, capsys: Capture
) -> None:
    assert cli(["show", "coco2018/val"]) == 1
    told = capsys.readouterr().err
    assert "no pack here, and no dataset of that name" in told and "did you mean coco2017" in told
