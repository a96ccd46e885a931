"""``dsets fetch`` of a dataset of thousands of files: parts of it, digests from a listing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

import dsets
from dsets import adopt, manifest, store
from dsets.errors import PrepareError
from dsets.manifest.family import Family
from dsets.pack import Pack
from tests.archive.records import framed
from tests.readers import tiny_youtube8m as tiny
from tests.server import Route, Server, serving

Run = Callable[[Sequence[str]], int]
NAMES = ("trainaa", "trainaZ", "train00", "train99")


def route(path: str, data: bytes) -> dict[str, Route]:
    return {path: Route(data)}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The publishers' tree, with four of the training split's files."""
    folder = tiny.manifest(tmp_path / "catalogue", "video")
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    shards = {
        name: b"".join(framed(tiny.video(f"{name}{letter}")) for letter in "abc") for name in NAMES
    }
    md5 = {f"{name}.tfrecord": hashlib.md5(data).hexdigest() for name, data in shards.items()}
    listing = json.dumps({"files": md5}).encode()
    routes = route("/2/download_plans/video_train.json", listing)
    routes |= route("/csv/2/vocabulary.csv", tiny.VOCABULARY.encode())
    for name, data in shards.items():
        routes |= route(f"/2/video/train/{name}.tfrecord", data)
    with serving(routes) as made:
        yield made


def family() -> Family:
    return manifest.find("tinytube").families[0]


def test_what_the_listing_has_is_fetched_proved_counted_and_prepared(
    cli: Run, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["fetch", "tinytube/train", "--mirror", server.url]) == 0
    out, err = capsys.readouterr()
    names = [Path(line).name for line in out.split()]
    assert names == ["train.json", "vocabulary.csv"] + [
        f"train{number:04}.tfrecord" for number in (0, 51, 3276, 3843)
    ]
    assert "3,840 files are not in the publishers' listing" in err
    found = manifest.current("tinytube")
    split = found.split("train")
    assert (split.samples, split.whole_files, len(split.files)) == (12, 3844, 5)
    assert not found.unverified(split)
    assert cli(["verify", "tinytube"]) == 0
    assert cli(["prepare", "tinytube/train", "--out", str(tmp_path / "packs")]) == 0
    pack = Pack.open(tmp_path / "packs" / "train")
    assert len(pack) == 12
    assert pack.index.provenance["subset"] == {"files": 4, "of_files": 3844}
    assert "unverified" not in pack.index.provenance


def test_a_part_is_fetched_and_the_next_adds_to_it(cli: Run, server: Server) -> None:
    shards, one = {f"{name}.tfrecord" for name in NAMES}, family()
    split = {
        part: {
            one.file_name(n)
            for n in range(3844)
            if one.in_part(n, part, 2) and one.published_name(n) in shards
        }
        for part in (1, 2)
    }
    assert all(split.values()) or pytest.skip("all in one half")
    for part in (1, 2):
        arguments = ["fetch", "tinytube/train", "--shards", f"{part}/2", "--mirror", server.url]
        assert cli([*arguments, "--quiet"]) == 0
        have = set(manifest.current("tinytube").split("train").files) - {"vocabulary.csv"}
        assert have == split[1] | (split[2] if part == 2 else set())
    asked = [one.path for one in server.requests if one.path.endswith(".tfrecord")]
    assert len(asked) == len(set(asked)) == 4


def test_a_dry_run_asks_nobody_and_tells_files_and_bytes(
    cli: Run, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fetch", "tinytube", "--shards", "1/10", "--mirror", server.url, "--dry-run"]
    assert cli(arguments) == 0
    out = capsys.readouterr().out
    assert "more" in out and "of train{number}.tfrecord" in out and "about" in out
    assert len(out.splitlines()) < 60 and not server.requests
    assert cli([*arguments, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    wanted = sum(map(partial(family().in_part, part=1, parts=10), range(3844)))
    assert sum(f["name"].startswith("train0") for f in plan["files"]) <= wanted
    assert 100_000 < plan["about_bytes"] < 300_000


def test_a_shard_with_another_digest_is_refused(
    cli: Run, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.routes["/2/video/train/train00.tfrecord"].data += b"!"
    assert cli(["fetch", "tinytube/train", "--mirror", server.url, "--quiet"]) == 1
    assert "md5" in capsys.readouterr().err
    assert not (store.raw("tinytube") / "train3276.tfrecord").exists()
    assert (store.raw("tinytube") / "train0051.tfrecord").exists()


def test_a_listing_that_is_none_is_thrown_away(
    cli: Run, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/2/download_plans/video_train.json"
    good, server.routes[path].data = server.routes[path].data, b'{"files": 3}'
    assert cli(["fetch", "tinytube/train", "--mirror", server.url, "--quiet"]) == 1
    assert "not what the manifest says it is" in capsys.readouterr().err
    assert not (store.raw("tinytube") / "train.json").exists()
    server.routes[path].data = good
    assert cli(["fetch", "tinytube/train", "--mirror", server.url, "--quiet"]) == 0


@pytest.mark.parametrize("part", ["0/10", "11/10", "1", "x/y", "1/0", "-1/3", "1/9999999"])
def test_no_such_part(cli: Run, server: Server, part: str) -> None:
    assert cli(["fetch", "tinytube", "--shards", part]) == 2


def test_shards_of_a_dataset_of_few_files(cli: Run) -> None:
    assert cli(["fetch", "mnist", "--shards", "1/10", "--dry-run"]) == 1


def test_nothing_here_is_said_in_short_and_nothing_fetched_unasked(
    cli: Run, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["prepare", "tinytube/train"]) == 1
    err = capsys.readouterr().err
    assert "and 3,825 more" in err and "--shards 1/100" in err
    with pytest.raises(PrepareError, match="not fetched unasked"):
        dsets.load("tinytube", mirror=server.url)
    assert not server.requests


def test_show_is_short(cli: Run, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["show", "tinytube"]) == 0
    out = capsys.readouterr().out
    assert "3,842 more of train{number}.tfrecord; of all: 3,844 absent" in out
    assert len(out.splitlines()) < 80


def test_adopted_files_are_official_once_the_listing_is_here(
    cli: Run, server: Server, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for name in ("train00", "trainaZ"):
        data = server.routes[f"/2/video/train/{name}.tfrecord"].data
        (given / f"video_{name}.tfrecord").write_bytes(data)
    assert cli(["adopt", "tinytube", str(given)]) == 1  # nothing proves them
    assert (
        cli(["fetch", "tinytube/train", "--mirror", server.url, "--quiet", "--shards", "1/2"]) == 0
    )
    official = manifest.find("tinytube")
    done = adopt.adopt(adopt.plan(official, [given]))
    assert not manifest.current("tinytube").unverified(done.manifest.split("train"))
    have = manifest.current("tinytube").split("train")
    assert {"train3276.tfrecord", "train0051.tfrecord"} <= set(have.files)


def test_files_adopted_one_after_the_other_add_up(cli: Run, server: Server, tmp_path: Path) -> None:
    for name, letter in (("00", "a"), ("aZ", "b")):
        given = tiny.files(tmp_path / letter, names=[name])
        assert cli(["adopt", "tinytube", str(given), "--unverified", "--quiet"]) == 0
    split = manifest.current("tinytube").split("train")
    assert split.samples == 8 and split.options["counts"] == (4, 4)
    assert [name for name in split.files if name.endswith(".tfrecord")] == [
        "adopted-train0051.tfrecord",
        "adopted-train3276.tfrecord",
    ]


def test_a_dry_run_without_the_publishers_listing_says_so_and_what_to_do(
    cli: Run, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fetch", "tinytube/train", "--shards", "1/999983", "--dry-run", "--offline"]
    assert cli(arguments) == 0
    said = capsys.readouterr().err
    assert "no file is in part 1/999983" in said
    assert "listing (train.json) is not here" in said and "'dsets fetch tinytube/train'" in said
    assert "offline, the real run fails: 1 of these files" in said
    assert cli(["fetch", "tinytube/train", "--mirror", server.url, "--quiet"]) == 0
    capsys.readouterr()
    assert cli(arguments) == 0
    assert capsys.readouterr().err == (
        "dsets: note: no file is in part 1/999983: there are fewer files than parts, or nearly\n"
    )
