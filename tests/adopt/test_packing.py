"""Packs in a bundle arrive whole, verified and without a network, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import dsets
from dsets import adopt, manifest, prepare, store
from dsets.errors import AdoptError, DsetsError, PrepareError
from tests.adopt.at_once import taken_at_once
from tests.cli import tiny

FILES = tiny.files()
Members = list[tuple[str, bytes]]


@pytest.fixture
def files() -> dict[str, bytes]:
    return FILES


@pytest.fixture
def made(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of the packs of ``tiny``, taken elsewhere: another store, and no network."""
    monkeypatch.setenv("DSETS_MANIFESTS", str(tiny.catalogue(tmp_path / "catalogue", FILES)))
    (tmp_path / "given").mkdir()
    for name, data in files.items():
        (tmp_path / "given" / name).write_bytes(data)
    plan = adopt.plan(manifest.find("tiny"), [tmp_path / "given"])
    adopt.adopt(plan, unverified=files is not FILES)
    prepare.run(prepare.plan(manifest.current("tiny")))
    out = tmp_path / "packs.tar"
    adopt.write(adopt.bundle([], [home_pack("train"), home_pack("test")]), out)
    monkeypatch.setenv("DSETS_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.delenv("DSETS_MANIFESTS")

    def refused(*args: object) -> None:
        raise AssertionError("somebody wants the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    return out


def home_pack(split: str) -> Path:
    return store.packs("tiny", "as_is") / split


def take(path: Path) -> tuple[Path, ...]:
    return adopt.unbundle(adopt.look(path))


def members(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return [(one.name, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]


def rewrite(path: Path, found: Members) -> None:
    """The bundle with other members, of which its table has the right digests."""
    table = json.loads(found[0][1])
    table["members"] = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in found[1:]
    }
    with tarfile.open(path, "w") as tar:
        for name, data in [(found[0][0], json.dumps(table).encode()), *found[1:]]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_packs_arrive_where_load_finds_them(made: Path) -> None:
    assert set(take(made)) == {home_pack("train"), home_pack("test")}
    assert not list(store.home().rglob("*.part"))
    data = dsets.load("tiny", offline=True)
    assert (len(data.train), len(data.test)) == (8, 4)
    assert data.train.index.provenance["terms"]["licence"] == "CC0-1.0"
    assert not store.raw("tiny").exists()
    assert set(take(made)) == {home_pack("train"), home_pack("test")}, "kept"


@pytest.mark.parametrize(
    "files",
    [FILES | {"train-labels.gz": gzip.compress(tiny.idx((8,))[:-8] + bytes(8), mtime=0)}],
)
def test_packs_of_what_somebody_else_adopted_are_given_when_that_is_asked_for(made: Path) -> None:
    with pytest.raises(PrepareError, match=r"no packs of it in the store.*dsets adopt BUNDLE"):
        dsets.load("mnist", unverified=True)
    take(made)
    with pytest.raises(PrepareError, match=r"another version.*take it as it is \(unverified=True"):
        dsets.load("tiny", offline=True)
    with pytest.warns(UserWarning, match="tiny is given as it was packed.*: train; 'dsets show"):
        data = dsets.load("tiny", unverified=True)
    assert (len(data.train), len(data.test)) == (8, 4)
    assert data.train.index.unverified and not data.test.index.unverified
    assert not store.raw("tiny").exists()


def test_a_dry_run_changes_nothing(made: Path) -> None:
    assert adopt.unbundle(adopt.look(made), dry_run=True) == ()
    assert not store.home().exists()


def test_another_pack_is_never_replaced(made: Path) -> None:
    home_pack("test").mkdir(parents=True)
    (home_pack("test") / "index.json").write_text("mine")
    with pytest.raises(AdoptError, match="another pack is there"):
        take(made)
    assert (home_pack("test") / "index.json").read_text() == "mine"
    assert not home_pack("train").exists() and not list(store.home().rglob("*.part"))


def test_what_a_killed_run_left_is_swept(made: Path) -> None:
    part = home_pack("train").with_name("train.part")
    part.mkdir(parents=True)
    (part / "shard-00000.h5").write_bytes(b"half")
    take(made)
    assert len(dsets.load("tiny", offline=True).train) == 8


def _where(found: Members, end: str) -> int:
    return next(place for place, (name, _) in enumerate(found) if name.endswith(end))


def _flipped(found: Members, end: str) -> Members:
    place = _where(found, end)
    name, data = found[place]
    middle = len(data) // 2
    found[place] = name, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return found


def _without(found: Members, end: str) -> Members:
    del found[_where(found, end)]
    return found


def _moved(found: Members, old: str, new: str) -> Members:
    return [(name.replace(old, new), data) for name, data in found]


def _more(found: Members, name: str) -> Members:
    return [*found, (name, b"x")]


HOSTILE: dict[str, Callable[[Members], Members]] = {
    "a shard with another bit": lambda found: _flipped(found, "train/shard-00000.h5"),
    "statistics with another bit": lambda found: _flipped(found, "statistics.h5"),
    "no shard": lambda found: _without(found, "test/shard-00000.h5"),
    "no index": lambda found: _without(found, "train/index.json"),
    "an index that is none": lambda found: [
        (name, b"{}" if name.endswith("test/index.json") else data) for name, data in found
    ],
    "the index behind": lambda found: [*found[:3], *found[:2:-1]],
    "another split's place": lambda found: _moved(found, "/test/", "/valid/"),
    "another dataset's place": lambda found: _moved(found, "packs/tiny/", "packs/mnist/"),
    "another pipeline's place": lambda found: _moved(found, "/as_is/", "/is_as/"),
    "a shard too many": lambda found: _more(found, "packs/tiny/as_is/test/shard-00009.h5"),
    "a way out": lambda found: _more(found, "packs/tiny/as_is/../shard-00000.h5"),
    "a file that is none of a pack": lambda found: _more(found, "packs/tiny/as_is/test/run.py"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_bundle_of_packs_is_one_error(made: Path, case: str) -> None:
    rewrite(made, HOSTILE[case](members(made)))
    with pytest.raises(DsetsError) as caught:
        take(made)
    assert str(made) in str(caught.value)
    assert [path for path in store.home().rglob("*") if path != store.home() / "packs"] == []


def test_of_two_at_once_one_brings_the_packs_and_the_other_finds_them(made: Path) -> None:
    assert taken_at_once(made) == [str(home_pack("train")), str(home_pack("test"))]
    assert not list(store.home().rglob("*.part"))
