"""Places in the cache: who makes batches waits for no thread that fetches ahead, while the disk is
slow, and nothing loses its place, or keeps one, by what goes wrong or is closed elsewhere."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from dsets import locks, remote
from dsets.errors import FetchError, SpaceError
from dsets.remote import places
from dsets.remote.cache import Cache
from dsets.stream import Window, batches
from tests.server import Server

LONG_S = 30.0


@pytest.mark.parametrize("limit", [None, 3])
def test_a_shard_that_is_here_is_held_while_room_is_made_for_another(
    address: str, root: Path, shard_bytes: int, limit: int | None
) -> None:
    """Another process has the folder locked, as it does while it removes shards."""
    given = None if limit is None else limit * shard_bytes
    with remote.open(address, folder=root, limit=given) as pack:
        assert pack[0]["key"] == "k0"
        found: list[str] = []
        reader = threading.Thread(target=lambda: found.append(pack[3]["key"]), daemon=True)
        ahead = pack.ahead()
        with locks.holding(root, folder=True):
            ahead.expect(np.arange(60))
            while not pack._places.early:  # until a thread has begun to look for a place
                pass
            reader.start()
            reader.join(LONG_S)
            assert found == ["k3"]
        ahead.close()


@pytest.mark.parametrize("shards", [4, 6])
def test_streams_of_one_pack_in_several_threads_each_show_every_sample(
    address: str, root: Path, shard_bytes: int, shards: int
) -> None:
    with remote.open(address, folder=root, limit=shards * shard_bytes) as pack:
        counts: list[int] = []

        def run(seed: int) -> None:
            with batches(pack, 5, shuffle=Window(1, 10), seed=seed, threads=1) as stream:
                for _ in range(3):
                    counts.append(sum(len(batch.index) for batch in stream))

        threads = [threading.Thread(target=run, args=(seed,)) for seed in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert counts == [60] * 9
        assert sum(path.stat().st_size for path in root.glob("packs/*/s-*.h5")) <= (
            shards * shard_bytes
        )
    assert not list(root.glob("held/*"))


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "no space"), KeyboardInterrupt()])
def test_after_a_place_could_not_be_had_nothing_is_held(
    address: str, root: Path, shard_bytes: int, failure: BaseException
) -> None:
    with remote.open(address, folder=root, limit=2 * shard_bytes) as pack:
        take, calls = Cache.take, iter((None, failure))

        def fail(cache: Cache, name: str, size: int) -> bool:
            if (error := next(calls)) is not None:
                raise error
            return take(cache, name, size)

        broken = mock.patch.object(Cache, "take", fail)
        with broken, pytest.raises((FetchError, KeyboardInterrupt)):
            pack.keys([0, 10])
        found = []
        reader = threading.Thread(target=lambda: found.append(pack.keys([20, 30])), daemon=True)
        reader.start()
        reader.join(LONG_S)
        assert len(found) == 1


def test_a_pack_that_is_closed_keeps_what_another_thread_holds(
    address: str, root: Path, shard_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "OTHERS_S", 0.0)
    pack = remote.open(address, folder=root, limit=shard_bytes)
    with pack.holding(np.array([0])):
        pack.close()
        with (
            remote.open(address, folder=root, limit=shard_bytes) as other,
            pytest.raises(SpaceError),
        ):
            other[10]
    pack.close()
    assert not list(root.glob("held/*"))


def test_a_pack_that_is_closed_keeps_what_is_still_being_fetched(
    address: str, root: Path, server: Server
) -> None:
    route = server.routes["/train/s-0.h5"]
    route.stall_after = 1000
    pack = remote.open(address, folder=root)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(pack[0]["key"]), daemon=True)
    reader.start()
    assert server.stalled.wait(LONG_S)
    pack.close()
    assert "s-0.h5" in next(root.glob("held/*.json")).read_text()
    route.stall_after = None
    server.release.set()
    reader.join(LONG_S)
    assert found == ["k0"]
    pack.close()
    assert not list(root.glob("held/*"))
