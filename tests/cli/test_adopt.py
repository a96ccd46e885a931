"""``dsets adopt`` as users type it, and what the other commands make of what was adopted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.adopt import tinynet
from tests.adopt.tinynet import TRAIN, VAL, placed, write

Run = Callable[[Sequence[str]], int]
Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "catalogue", {"tinynet.toml": tinynet.manifest_bytes()})
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))


@pytest.fixture
def archives(tmp_path: Path) -> str:
    return str(write(tmp_path / "archives", tinynet.archives()))


@pytest.fixture
def loose(tmp_path: Path) -> str:
    files = placed(TRAIN, "train/{wnid}/{name}") | placed(VAL[:7], "val/{wnid}/{name}")
    return str(write(tmp_path / "loose", files))


def test_official_files_are_told_with_where_they_are_now(
    cli: Run, archives: str, home: Path, capsys: Said
) -> None:
    assert cli(["adopt", "tinynet", archives]) == 0
    out = capsys.readouterr().out
    for name in tinynet.FILES:
        assert f"{home}/raw/tinynet/{name}" in out
    assert "nothing is missing" in out
    assert cli(["fetch", "tinynet", "--offline"]) == 0


def test_a_dry_run_prints_the_plan_and_does_nothing(
    cli: Run, archives: str, loose: str, home: Path, capsys: Said
) -> None:
    assert cli(["adopt", "tinynet", loose, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "unverified: 18 loose files" in said.out
    assert "val: samples, 7 of 12" in said.out
    assert "the real run needs --unverified" in said.err
    assert cli(["adopt", "tinynet", loose, "--dry-run", "--unverified"]) == 0
    assert "needs --unverified" not in capsys.readouterr().err
    assert cli(["adopt", "tinynet", archives, "--dry-run", "--json"]) == 0
    said = capsys.readouterr()
    assert "needs --unverified" not in said.err
    plan = json.loads(said.out)
    assert [one["name"] for one in plan["official"]] == list(tinynet.FILES)
    assert [one["official"] for one in plan["splits"]] == [True, True]
    assert plan["missing"] == []
    assert not home.exists()


def test_strangers_are_one_line_and_exit_code_1(cli: Run, loose: str, capsys: Said) -> None:
    assert cli(["adopt", "tinynet", loose]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert f"{loose}/train: 18 loose files of train" in errors[0]
    assert "--unverified" in errors[0]


def test_what_was_taken_unverified_is_told_with_where_it_came_from(
    cli: Run, loose: str, capsys: Said
) -> None:
    assert cli(["adopt", "tinynet", loose, "--unverified", "--quiet"]) == 0
    out = capsys.readouterr().out
    taken = out[out.index("taken as they are") : out.index("missing")].splitlines()
    assert [line for line in taken if f"{loose}/train" in line and "18 loose files" in line]


def test_what_was_adopted_is_marked_wherever_it_is_shown(
    cli: Run, loose: str, tmp_path: Path, capsys: Said
) -> None:
    assert cli(["adopt", "tinynet", loose, "--unverified", "--json", "--quiet"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["unverified"] == [
        {"name": "train", "samples": 18},
        {"name": "val", "samples": 7},
    ]
    assert [one["got"] for one in done["missing"]] == [7]
    out = str(tmp_path / "out")
    assert cli(["prepare", "tinynet", "--out", out, "--quiet"]) == 0
    assert "tinynet is adopted, unverified: train (18 samples), val (7" in capsys.readouterr().err
    assert cli(["show", out]) == 0
    assert capsys.readouterr().out.count("made from files that are not the official ones") == 2
    assert cli(["show", f"{out}/val", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unverified"] == ["val.listing"]
    assert cli(["show", "tinynet"]) == 0
    assert "unverified: adopted, not an official file" in capsys.readouterr().out
    assert cli(["list"]) == 0
    (tinynet,) = (
        line for line in capsys.readouterr().out.splitlines() if line.startswith("tinynet ")
    )
    assert "login; unverified train, val" in tinynet
    assert cli(["list", "--json"]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out) if row["name"] == "tinynet")
    there, official = row["samples"], row["official_samples"]
    assert there == 18 + 7 and there < official
    assert cli(["verify", "tinynet", "--deep", "--quiet"]) == 0
    assert "as adopted, unverified" in capsys.readouterr().out


def test_fetching_the_official_files_supersedes_what_was_adopted(
    cli: Run, loose: str, archives: str, capsys: Said
) -> None:
    cli(["adopt", "tinynet", loose, "--unverified"])
    capsys.readouterr()
    assert cli(["fetch", "tinynet", "--mirror", archives, "--quiet", "--accept-terms"]) == 0
    assert cli(["verify", "tinynet", "--quiet"]) == 0
    said = capsys.readouterr()
    assert "unverified" not in said.out + said.err


def test_remove_frees_the_links_and_says_so(cli: Run, loose: str, home: Path, capsys: Said) -> None:
    cli(["adopt", "tinynet", loose, "--unverified"])
    assert cli(["remove", "tinynet", "--yes"]) == 0
    assert not (home / "raw" / "tinynet").exists()
    assert len(list(Path(loose).rglob("*.JPEG"))) == 25
    capsys.readouterr()
    assert cli(["show", "tinynet"]) == 0
    assert "unverified" not in capsys.readouterr().err


def test_removing_official_links_frees_no_more_than_the_links(
    cli: Run, archives: str, home: Path, capsys: Said
) -> None:
    cli(["adopt", "tinynet", archives])
    capsys.readouterr()
    assert cli(["remove", "tinynet", "--yes"]) == 0
    assert "would free" not in capsys.readouterr().out
    assert not (home / "raw" / "tinynet").exists()
    assert sorted(path.name for path in Path(archives).iterdir()) == sorted(tinynet.FILES)


@pytest.mark.parametrize(
    ("argv", "said", "code"),
    [
        (["tinynet", "/nowhere/at/all"], "no such file or folder", 1),
        (["tinynet"], "Missing argument", 2),
        (["nonesuch", "."], "unknown dataset", 1),
    ],
)
def test_what_cannot_be_done_is_said(
    cli: Run, capsys: Said, argv: list[str], said: str, code: int
) -> None:
    assert cli(["adopt", *argv]) == code
    assert said in capsys.readouterr().err


def test_a_file_that_is_none_of_the_datasets_is_noted(
    cli: Run, tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "letter\x1b[31m.txt").write_text("Dear reader")
    assert cli(["adopt", "tinynet", str(tmp_path / "letter\x1b[31m.txt")]) == 1
    said = capsys.readouterr()
    assert "no file of tinynet, by its size or name" in said.err
    assert "\x1b" not in said.err
    assert "nothing new" in said.out
    assert said.err.splitlines()[-1].endswith("'dsets show tinynet' lists the files")
    assert "nothing there is of use to tinynet" in said.err
    assert cli(["adopt", "tinynet", str(tmp_path), "--dry-run", "--json"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["official"] == [] and "nothing there is of use" in said.err


def test_a_dry_run_counts_archives_and_tells_a_refusal(
    cli: Run, tmp_path: Path, home: Path, capsys: Said
) -> None:
    pictures = {name: data for name, data in tinynet.pictures().items() if name in VAL[:5]}
    val = {tinynet.FILES[1]: tinynet.tar(pictures)}
    truth = {"LOC_val_solution.csv": tinynet.solution()}
    given = str(write(tmp_path / "given", val | truth))
    assert cli(["adopt", "tinynet", given, "--dry-run", "--unverified"]) == 0
    assert "val: samples, 5 of 12 (all of val)" in capsys.readouterr().out
    write(tmp_path / "given", {tinynet.FILES[1]: val[tinynet.FILES[1]][:3000]})
    for more in (["--unverified"], []):
        assert cli(["adopt", "tinynet", given, "--dry-run", *more]) == 1
        said = capsys.readouterr()
        assert "unverified: 3,000 bytes" in said.out and "reader does not accept" in said.err
        assert "needs --unverified" not in said.err
    assert not home.exists()


def test_what_several_splits_lack_is_one_line_and_unpacked_archives_have_a_remedy(
    cli: Run, tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "VOCdevkit" / "VOC2007").mkdir(parents=True)
    assert cli(["adopt", "voc2007", str(tmp_path / "VOCdevkit")]) == 1
    said = capsys.readouterr()
    lines = [line.strip() for line in said.out.splitlines() if "tar" in line]
    assert len(lines) == 2 and lines[0].startswith("train, val, trainval, segmentation-train, ")
    assert lines[0].endswith(": VOCtrainval_06-Nov-2007.tar (archive)")
    assert lines[1] == "test, segmentation-test, layout-test: VOCtest_06-Nov-2007.tar (archive)"
    assert "what was unpacked must be an archive again" in said.err
