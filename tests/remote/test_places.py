"""Who makes batches waits for no thread that fetches ahead, while the disk is slow."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from dsets import locks, remote
from dsets.stream import Window, batches

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
