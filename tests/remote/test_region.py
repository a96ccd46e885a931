"""Streams that end where this very thread holds what their threads are waiting for."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest

from dsets import remote
from dsets.errors import StreamError
from dsets.fetch.stop import Stop
from dsets.remote import held, region
from dsets.stream import Stream, batches
from dsets.stream.prefetch import Prefetch
from tests.remote.conftest import QUICK
from tests.server import Server


def in_time(work: Callable[[], object]) -> None:
    """Do this in a thread of its own, which must come to its end."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "it waits for ever"


def test_a_stream_that_is_dropped_where_the_folder_is_locked_waits_for_nobody(
    address: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, other = (remote.open(address, folder=root) for _ in range(2))
    dropped = [pack.ahead()]
    threads = [one for one in threading.enumerate() if one.name.startswith("dsets-ahead-")]
    pack.arrivals.bring_early(0, Stop(), lambda shard: 0)
    look = held.others

    def looking(root: Path, mine: Path) -> tuple[dict[str, int], Counter[int]]:
        dropped.clear()  # garbage may be collected here
        return look(root, mine)

    monkeypatch.setattr(held, "others", looking)
    in_time(lambda: other[10])
    assert not dropped
    for thread in threads:
        thread.join(30)
    assert pack.streams == 0
    holding = [json.loads(path.read_bytes()).keys() for path in root.glob("held/*.json")]
    assert sorted(len(names) for names in holding) == [0, 1], "what was fetched early is let go of"
    pack.close()
    other.close()


@pytest.fixture
def taking(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once a consumer waits for its batch."""
    event, take = threading.Event(), Prefetch.get

    def get(prefetch: Prefetch[object, object]) -> object:
        event.set()
        return take(prefetch)

    monkeypatch.setattr(Prefetch, "get", get)
    return event


def consuming(stream: Stream) -> threading.Thread:
    def consume() -> None:
        with suppress(StreamError):
            next(iter(stream))

    return threading.Thread(target=consume, name="dsets-stream-consumer", daemon=True)


def all_end() -> None:
    ours = ("dsets-stream-", "dsets-ahead-")
    for thread in threading.enumerate():
        if thread.name.startswith(ours):
            in_time(thread.join)


def test_a_stream_that_ends_where_the_folder_is_locked_does_not_wait_for_who_wants_to_lock_it(
    address: str, root: Path, monkeypatch: pytest.MonkeyPatch, taking: threading.Event
) -> None:
    wanted, lock = threading.Event(), region.folder

    def locking(root: Path) -> AbstractContextManager[None]:
        wanted.set()
        return lock(root)

    def end() -> None:
        with lock(root):
            consuming(stream).start()
            assert taking.wait(30) and wanted.wait(30)
            stream.close()

    monkeypatch.setattr(region, "folder", locking)
    pack = remote.open(address, folder=root)
    stream = batches(pack, 5, shuffle=False)
    in_time(end)
    all_end()
    pack.close()
    assert not list(root.glob("held/*"))


def test_a_stream_that_ends_where_its_pack_is_locked_does_not_wait_for_who_wants_to_lock_it(
    address: str, root: Path, server: Server, taking: threading.Event
) -> None:
    def end() -> None:
        consuming(stream).start()
        assert taking.wait(30) and server.stalled.wait(30)
        with pack._changed:
            stream.close()

    for number in range(6):
        server.routes[f"/train/s-{number}.h5"].stall_after = 5000
    pack = remote.open(address, folder=root, patience=QUICK)
    stream = batches(pack, 5, shuffle=False)
    in_time(end)
    all_end()
    pack.close()
    assert not list(root.glob("held/*"))
