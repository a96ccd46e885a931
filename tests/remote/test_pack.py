from __future__ import annotations

import json
import pickle
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import remote
from dsets.errors import (
    FetchError,
    OfflineError,
    PackError,
    SpaceError,
    StreamError,
    UsageError,
)
from dsets.fetch import Patience
from dsets.fetch.stop import Stop, Stopped
from dsets.pack import Pack
from dsets.remote import shards
from dsets.remote.ahead import NEVER, Ahead
from dsets.stream import Window, batches, golden
from dsets.stream.prefetch import Prefetch
from dsets.transforms import Crop, Flip, Normalise
from tests.remote.conftest import QUICK
from tests.server import Route, Server


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def taken(root: Path) -> int:
    """Bytes of the shards in the cache, of which one may go while we look."""
    total = 0
    for path in root.glob("packs/*/s-*.h5"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def test_a_sample_fetches_its_shard_and_no_other(local: Pack, address: str, server: Server) -> None:
    with Pack.open(address) as pack:
        assert len(pack) == 60 and pack.digest == local.digest
        assert {request.path for request in server.requests} == {"/train/index.json"}
        assert same(pack[25], local[25]) and same(pack[-31], local[-31])
        assert server.asked("/train/s-2.h5") and not server.asked("/train/s-3.h5")
        assert same(pack[27], local[27])
        assert len(server.asked("/train/s-2.h5")) == 1
        pack.check(3)
        assert pack.keys([59, 0]) == ["k59", "k0"]
        with pytest.raises(IndexError):
            pack[60]


def test_slices_arrays_and_statistics_are_those_of_the_local_pack(
    local: Pack, address: str
) -> None:
    with remote.open(address) as pack:
        some, same_ones = pack[5:33:3], local[5:33:3]
        assert np.array_equal(some["image"], same_ones["image"]) and some["key"] == same_ones["key"]
        assert pack.statistics is not None and local.statistics is not None
        assert pack.statistics.digest == local.statistics.digest
        for one, other in zip(pack.arrays("label"), local.arrays("label"), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("shuffle", [True, False, Window(4, 8)])
@pytest.mark.parametrize("shards_kept", [None, 5])
def test_a_stream_gives_what_the_local_pack_gives_with_a_small_cache_too(
    local: Pack,
    address: str,
    root: Path,
    shard_bytes: int,
    shuffle: Any,
    shards_kept: int | None,
    kept: Callable[[], set[str]],
) -> None:
    limit = None if shards_kept is None else shards_kept * shard_bytes
    if shuffle is True and limit:  # a batch of three samples needs three shards at most
        limit = 6 * shard_bytes
    recipe = [Crop(8), Flip(), Normalise.of(local)]
    with (
        remote.open(address, folder=root, limit=limit) as pack,
        batches(pack, 3, seed=2, shuffle=shuffle, transform=recipe) as far,
        batches(local, 3, seed=2, shuffle=shuffle, transform=recipe) as near,
    ):
        for _ in range(2):
            for one, other in zip(far, near, strict=True):
                assert np.array_equal(one.index, other.index)
                assert np.array_equal(one["image"], other["image"])
                assert np.array_equal(one["label"], other["label"])
                assert all(map(np.array_equal, one["note"], other["note"]))
                if limit:
                    assert taken(root) <= limit


def test_each_shard_is_fetched_once_for_many_epochs(address: str, server: Server) -> None:
    with remote.open(address) as pack, batches(pack, 7, shuffle=Window(3, 4)) as stream:
        for _ in range(3):
            assert sum(len(batch.index) for batch in stream) == 60
    assert all(len(server.asked(f"/train/s-{number}.h5")) == 1 for number in range(6))


def test_afterwards_it_works_offline(
    local: Pack, address: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with remote.open(address) as pack:
        assert same(pack[0], local[0])
    server.routes.clear()
    monkeypatch.setenv("DSETS_OFFLINE", "1")
    before = len(server.requests)
    with remote.open(address) as pack:
        assert same(pack[9], local[9])
        with pytest.raises(OfflineError, match=r"s-5\.h5: offline, and not in the cache"):
            pack[59]
        assert same(pack[1], local[1])  # nothing is stuck
    assert len(server.requests) == before
    with pytest.raises(OfflineError, match="never opened"):
        remote.open(address + "2")


def test_a_damaged_shard_is_never_shown(address: str, server: Server, root: Path) -> None:
    good = server.routes["/train/s-1.h5"].data
    server.routes["/train/s-1.h5"].data = good[:-1] + bytes([good[-1] ^ 1])
    with remote.open(address, folder=root, patience=QUICK) as pack:
        with pytest.raises(FetchError, match=r"sha256 \w+, the pack's index says") as failure:
            pack[10]
        assert "manifest" not in str(failure.value)
        assert not list(root.glob("packs/*/s-1.h5*"))
        server.routes["/train/s-1.h5"].data = good
        assert pack[10]["key"] == "k10"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"statuses": [500] * 99}, "500"),
        ({"statuses": [404] * 99}, "404"),
        ({"data": b"short"}, "5 bytes"),
        ({"cut_after": 100, "ranges": False}, "after"),
    ],
)
def test_what_the_server_cannot_give_is_one_clear_error(
    address: str, server: Server, spoil: dict[str, Any], message: str
) -> None:
    for name, value in spoil.items():
        setattr(server.routes["/train/s-1.h5"], name, value)
    with remote.open(address, patience=QUICK) as pack:
        with pytest.raises(FetchError, match=message):
            pack[10]
        with batches(pack, 20, shuffle=False) as stream, pytest.raises(FetchError, match=message):
            next(iter(stream))


def test_a_cut_is_continued_where_it_was(address: str, server: Server) -> None:
    route = server.routes["/train/s-1.h5"]
    route.cut_after, route.cuts = 4000, 2
    with remote.open(address, patience=QUICK) as pack:
        assert pack[10]["key"] == "k10"
    asked = server.asked("/train/s-1.h5")
    assert [request.status for request in asked] == [200, 206, 206]
    assert [request.headers.get("If-Range") for request in asked] == [None, '"1"', '"1"']


def test_a_cache_too_small_for_one_batch_says_so(
    address: str, root: Path, shard_bytes: int
) -> None:
    with (
        remote.open(address, folder=root, limit=2 * shard_bytes) as pack,
        batches(pack, 40, shuffle=False) as stream,
        pytest.warns(UserWarning, match=r"/train: a batch may need up to .* bytes of shards"),
        pytest.raises(SpaceError, match="DSETS_CACHE_SIZE"),
    ):
        next(iter(stream))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("s3://", "s3://: an address without a bucket"),
        ("gs:///folder", "an address without a bucket"),
        ("http://", "an address without a host"),
        ("https:///folder", "an address without a host"),
        ("http://example.invalid/pack#it", "a fragment"),
        (" http://example.invalid/pack", "got ' http://'"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_before_anyone_is_asked(
    wrong: str, message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Pack.open(wrong)


def test_a_link_in_the_place_of_a_shard_is_told_of(
    address: str, root: Path, tmp_path: Path
) -> None:
    with remote.open(address, folder=root) as pack:
        elsewhere = tmp_path / "s-0.h5"
        pack.path.mkdir(parents=True)
        (pack.path / "s-0.h5").symlink_to(elsewhere)
        with pytest.raises(FetchError, match=r"s-0\.h5: something that is no file"):
            pack[0]
        assert pack[15]["key"] == "k15"


@pytest.mark.parametrize("how", ["cut", "other bytes"])
def test_what_is_damaged_is_told_from_what_is_missing_where_nobody_may_be_asked(
    address: str, root: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with remote.open(address, folder=root) as pack:
        assert pack.arrays("label") and pack.statistics
        shard = pack.path / "s-2.h5"
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] if how == "cut" else data[:-1] + b"?")
    monkeypatch.setenv("DSETS_OFFLINE", "1")
    got = f"got {len(data) - 1} bytes" if how == "cut" else "got other bytes"
    with remote.open(address, folder=root) as pack:
        with pytest.raises(FetchError, match=rf"s-2\.h5: damaged in the cache.*{got}"):
            pack[25]
        assert pack[35]["key"] == "k35"
    monkeypatch.setenv("DSETS_CACHE", str(root))
    (problem,) = remote.verify(address)
    assert problem.file == "s-2.h5" and "damaged in the cache" in problem.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table["shards"][0].update(name="../x"), "shards"),
        (lambda table: table["format"].update(major=2), "major version"),
        (lambda table: table["shards"][0].update(sha256="0" * 64), "pack_digest"),
    ],
)
def test_a_hostile_index_is_refused_and_the_good_one_stays(
    address: str,
    server: Server,
    change: Callable[[Any], None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remote.open(address)
    table = json.loads(server.routes["/train/index.json"].data)
    change(table)
    server.routes["/train/index.json"].data = json.dumps(table).encode()
    with pytest.raises(PackError, match=message):
        remote.open(address)
    monkeypatch.setenv("DSETS_OFFLINE", "1")
    assert len(remote.open(address)) == 60


def test_an_index_without_end_is_given_up(
    address: str, server: Server, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setattr("dsets.pack.strict.BYTES", 1000)
    with pytest.raises(FetchError, match="too big"):
        remote.open(address, folder=root)


def test_no_pack_there_is_told(server: Server) -> None:
    with pytest.raises(FetchError, match=r"no pack here.*404"):
        remote.open(f"{server.url}/nothing")
    with pytest.raises(UsageError, match="begins with http://, https://, s3://, gs://"):
        Pack.open("ftp://example.invalid/pack")


@pytest.mark.parametrize("limit", ["10G", -5, 0, 1.5, True])
def test_a_limit_that_is_no_number_of_bytes_is_refused_at_once(
    address: str, server: Server, limit: Any
) -> None:
    with pytest.raises(UsageError, match="limit: bad limit of the cache"):
        remote.open(address, limit=limit)
    assert not server.requests


def test_a_stream_closed_by_another_thread_just_when_it_begins_says_so(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Prefetch.__init__

    def closed_meanwhile(prefetch: Any, *args: Any) -> None:
        begin(prefetch, *args)
        closing = threading.Thread(target=stream.close)
        closing.start()
        closing.join()

    monkeypatch.setattr(Prefetch, "__init__", closed_meanwhile)
    with remote.open(address) as pack:
        stream = batches(pack, 5, shuffle=False)
        with pytest.raises(StreamError, match="the stream was closed"):
            next(iter(stream))
        assert pack.streams == 0


def test_a_pack_travels_by_pickle_as_its_address(address: str, local: Pack) -> None:
    with remote.open(address) as pack:
        copy = pickle.loads(pickle.dumps(pack))
        assert copy.digest == local.digest and copy.address == address


def test_verify_reads_everything_and_tells_what_is_wrong(address: str, server: Server) -> None:
    assert remote.verify(address, deep=True) == []
    server.routes["/train/index.json"].data = b"{"
    assert "JSON" in remote.verify(address)[0].message


@pytest.mark.parametrize("answers", [True, False], ids=["in the middle", "before its answer"])
def test_a_closed_stream_does_not_wait_for_a_silent_server(
    address: str, server: Server, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall_silent(route: Route) -> None:
        server.stalled.set()
        server.release.wait()

    for number in range(6):
        route = server.routes[f"/train/s-{number}.h5"]
        if answers:
            route.stall_after = 5000
        else:
            route.on_request = fall_silent
    monkeypatch.setattr("dsets.fetch.crew.GRACE_S", 0.1)
    told: list[BaseException] = []

    def take() -> None:
        try:
            next(iter(stream))
        except BaseException as error:
            told.append(error)

    with remote.open(address, patience=Patience(read_s=20, tries=2, pause_s=0)) as pack:
        stream = batches(pack, 5, shuffle=False)
        consumer = threading.Thread(target=take)
        consumer.start()
        assert server.stalled.wait(30)
        stream.close()
        consumer.join()
        for thread in threading.enumerate():  # which would wait for 20 s, then ask again
            if thread.name.startswith(("dsets-ahead", "dsets-fetch-")):
                thread.join()
    assert [type(error) for error in told] == [StreamError]
    assert len(server.asked("/train/s-0.h5")) <= 1  # nobody waited so long as to ask again


def test_what_a_batch_needs_is_fetched_at_once(local: Pack, address: str, server: Server) -> None:
    together = threading.Barrier(6)
    for number in range(6):
        server.routes[f"/train/s-{number}.h5"].on_request = lambda route: void(together.wait(30))
    with remote.open(address, patience=QUICK) as pack:
        assert same({"label": pack[::10]["label"]}, {"label": local[::10]["label"]})


def void(_: object) -> None:
    """For functions whose value nobody wants."""


def test_verify_needs_room_for_one_shard_only(
    address: str, server: Server, shard_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSETS_CACHE_SIZE", str(shard_bytes))
    assert remote.verify(address, deep=True) == []
    server.routes["/train/s-1.h5"].statuses = [404] * 9
    server.routes["/train/s-4.h5"].data = b""
    assert [problem.file for problem in remote.verify(address)] == ["s-1.h5", "s-4.h5"]
    monkeypatch.setenv("DSETS_CACHE_SIZE", str(shard_bytes // 2))
    with pytest.raises(SpaceError, match="DSETS_CACHE_SIZE"):
        remote.verify(address)


def test_what_is_fetched_ahead_displaces_only_what_is_needed_later(
    address: str, root: Path, shard_bytes: int, kept: Callable[[], set[str]]
) -> None:
    with remote.open(address, folder=root, limit=2 * shard_bytes) as pack:
        pack[0], pack[10]
        stop = Stop()
        uses = {0: 1, 1: 5, 2: 3, 3: 4}
        pack.arrivals.bring_early(2, stop, uses.__getitem__)
        assert kept() == {"s-0.h5", "s-2.h5"}
        pack.forget_early()
        pack[20]
        waiting = threading.Thread(target=_until_stopped, args=(pack, 3, stop, uses))
        waiting.start()  # both that are here are needed sooner
        stop.call()
        pack.forget_early()
        waiting.join()
        assert kept() == {"s-0.h5", "s-2.h5"}


def test_a_shard_that_a_thread_still_looks_for_is_not_removed_under_it(
    address: str,
    server: Server,
    root: Path,
    shard_bytes: int,
    kept: Callable[[], set[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, wanted, answer, looking, look = (threading.Event() for _ in range(5))
    bring = shards.bring

    def waiting(*args: Any) -> None:
        if threading.current_thread().name == "early":
            looking.set()
            look.wait(30)
        bring(*args)

    def wanted_soon(shard: int) -> int:
        wanted.set()
        return 0

    def slow(route: Route) -> None:
        asked.set()
        answer.wait(30)

    server.routes["/train/s-0.h5"].on_request = slow
    monkeypatch.setattr(shards, "bring", waiting)
    with remote.open(address, folder=root, limit=3 * shard_bytes) as pack:
        task = (0, Stop(), wanted_soon)
        early = threading.Thread(target=pack.arrivals.bring_early, args=task, name="early")
        batch = threading.Thread(target=pack.__getitem__, args=(0,))
        batch.start()
        assert asked.wait(30)
        early.start()
        assert wanted.wait(30)
        answer.set()
        batch.join()
        assert looking.wait(30)
        for sample in (10, 20, 30, 40):
            pack[sample]
        assert "s-0.h5" in kept()
        look.set()
        early.join()


def _until_stopped(pack: remote.RemotePack, shard: int, stop: Stop, uses: dict[int, int]) -> None:
    with suppress(Stopped):
        pack.arrivals.bring_early(shard, stop, uses.__getitem__)


def test_an_order_knows_when_it_needs_a_shard_next(address: str) -> None:
    with remote.open(address) as pack:
        order = Ahead(pack)
        try:
            order.expect(np.array([25, 3, 26, 41]))
            order.expect(np.array([24]))
            assert [order.next_use(shard) for shard in range(5)] == [1, NEVER, 0, NEVER, 3]
            order.passed(3)
            assert [order.next_use(shard) for shard in range(5)] == [NEVER, NEVER, 4, NEVER, 3]
        finally:
            order.close()


def test_the_golden_digest_is_that_of_the_local_pack_with_a_small_cache_too(
    local: Pack, address: str, root: Path, shard_bytes: int
) -> None:
    with remote.open(address, folder=root, limit=4 * shard_bytes) as pack:
        far = golden.digest(pack, 1, 1, batch_size=2)
        assert far == golden.digest(local, 1, 1, batch_size=2)
        assert taken(root) <= 4 * shard_bytes
