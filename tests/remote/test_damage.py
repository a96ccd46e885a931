"""Bytes that rot in the cache, with the file's size and times as they were."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from dsets import remote
from dsets.errors import PackError
from dsets.pack import Pack
from dsets.stream import batches
from dsets.verify import pack as verify
from tests.server import Server

Cli = Callable[[Sequence[str]], int]


def rot(path: Path, begin: int, end: int) -> None:
    """Invert bytes of a file; neither its size nor its time tells of it."""
    there = path.stat()
    data = bytearray(path.read_bytes())
    data[begin:end] = bytes(255 - byte for byte in data[begin:end])
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(there.st_atime_ns, there.st_mtime_ns))


@pytest.fixture
def image(local: Pack) -> int:
    """Where the first image of the third shard begins."""
    return local.index.shards[2].datasets["image"].offset


@pytest.fixture
def cached(address: str, root: Path, image: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The third shard in the cache, which was fetched whole and has rotted since."""
    monkeypatch.setenv("DSETS_CACHE", str(root))
    with Pack.open(address) as pack:
        assert pack[:]["label"][25] == 25 and pack.statistics
        path = pack.path / "s-2.h5"
    rot(path, image, image + 9)
    return path


def test_verify_fetches_anew_what_rotted_in_the_cache(
    cli: Cli, address: str, server: Server, cached: Path, local: Pack, capsys: pytest.CaptureFixture
) -> None:
    before = len(server.asked("/train/s-2.h5"))
    assert cli(["verify", address, "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "s-2.h5: was damaged in the cache: thrown away, and fetched again" in said
    assert "every byte" in said and "WRONG" not in said
    assert len(server.asked("/train/s-2.h5")) == before + 1
    assert cached.read_bytes() == (local.path / "s-2.h5").read_bytes()
    assert cli(["verify", address, "--quiet"]) == 0
    assert "damaged" not in capsys.readouterr().out


def test_verify_renews_the_statistics_too(address: str, cached: Path) -> None:
    rot(cached.with_name("statistics.h5"), 5000, 5009)
    report = verify(address, deep=True)
    assert report.ok
    assert [check.name for check in report.checks] == ["s-2.h5", "statistics.h5", "pack"]


def test_verify_says_that_the_cache_is_damaged_where_it_cannot_be_renewed(
    address: str, server: Server, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as offline:
        offline.setenv("DSETS_OFFLINE", "1")
        (problem,) = remote.verify(address)
        assert problem.file == "s-2.h5"
        assert "damaged in the cache, and nobody may be asked" in problem.message
    server.routes["/train/s-2.h5"].data = b""
    (problem,) = remote.verify(address)
    assert problem.file == "s-2.h5"
    assert "damaged in the cache, and not to be had again" in problem.message


def test_a_shard_that_rotted_is_renewed_while_another_pack_uses_it(
    address: str, cached: Path, local: Pack
) -> None:
    with Pack.open(address) as user, user.holding(np.array([20])):
        assert verify(address).ok
        user.rows(2).unchanged()
        assert user[22]["label"] == 22
    with Pack.open(address) as pack:
        pack.check(25)
        assert np.array_equal(pack[20:30]["image"], local[20:30]["image"])


def test_a_damaged_sample_of_a_remote_pack_is_told_with_what_helps(
    address: str, root: Path, cached: Path, image: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Pack.open(address) as pack, pytest.raises(PackError, match="unreadable sample") as told:
        list(batches(pack, 60, shuffle=False))
    assert told.value.remedy == f"'dsets verify {address}' fetches damaged shards anew"
    monkeypatch.delenv("DSETS_CACHE")
    with remote.open(address, folder=root) as pack, pack.holding(np.array([20])):
        rot(cached, image, image + 9)
        with pytest.raises(PackError, match="damaged sample") as told:
            pack.check(20)
    command = f"DSETS_CACHE={root} dsets verify {address}"
    assert told.value.remedy == f"'{command}' fetches damaged shards anew"


def test_what_a_stream_found_to_be_damaged_is_fetched_anew_by_the_next(
    address: str, server: Server, cached: Path, local: Pack
) -> None:
    before = len(server.asked("/train/s-2.h5"))
    inode = cached.stat().st_ino
    with Pack.open(address) as pack, batches(pack, 20, shuffle=True) as stream:
        with pytest.warns(UserWarning, match=f"'dsets verify {address}' fetches"):
            for _ in range(2):
                assert sum(len(batch.index) for batch in stream) == 60
        assert stream.substituted and cached.stat().st_ino == inode
        assert len(server.asked("/train/s-2.h5")) == before
    with Pack.open(address) as pack, batches(pack, 20, shuffle=True) as stream:
        list(stream)
        assert not stream.substituted and not stream.unreadable
    assert len(server.asked("/train/s-2.h5")) == before + 1
    assert cached.read_bytes() == (local.path / "s-2.h5").read_bytes()


def test_offline_what_is_whole_in_a_damaged_shard_can_still_be_used(
    address: str, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSETS_OFFLINE", "1")
    for _ in range(2):
        with Pack.open(address) as pack, batches(pack, 60, shuffle=True) as stream:
            with pytest.warns(UserWarning, match="dsets verify"):
                list(stream)
            assert stream.substituted == 1


def test_offsets_that_rotted_are_told_with_what_helps_and_fetched_anew_at_the_next_try(
    address: str, cached: Path, local: Pack
) -> None:
    with Pack.open(address) as pack:
        rot(cached, 0, cached.stat().st_size)
        with pytest.raises(PackError, match="offsets that fall") as told:
            pack[20]
        assert "dsets verify" in str(told.value.remedy)
        assert np.array_equal(pack[20]["image"], local[20]["image"])


def test_a_sample_that_check_finds_damaged_is_whole_in_the_next_pack(
    address: str, cached: Path
) -> None:
    for number in (20, -40):
        with Pack.open(address) as pack, pytest.raises(PackError, match="damaged sample"):
            pack.check(number)
        with Pack.open(address) as pack:
            pack.check(number)
            there = pack.index.shards[2].datasets["image"].offset
        rot(cached, there, there + 9)


def test_repair_says_that_a_remote_pack_is_repaired_where_it_lies(
    cli: Cli, address: str, cached: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (cached.parent, cached.parent.parent.parent, cached.parents[2] / "index"):
        assert cli(["repair", str(folder)]) == 1
        said = capsys.readouterr().err
        assert "repaired where it lies" in said and "'dsets verify ADDRESS'" in said
    assert cli(["repair", address]) == 1
    said = capsys.readouterr().err
    assert "a remote pack is repaired where it lies" in said
    assert f"'dsets verify {address}' renews it" in said
