"""Servers that are away for a while, or wrong once."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from dsets import remote
from dsets.errors import FetchError, StreamError
from dsets.fetch import Patience
from dsets.pack import Pack
from dsets.remote.ahead import Ahead
from dsets.stream import batches
from tests.remote.conftest import QUICK
from tests.server import Route, Server


@pytest.fixture
def chance(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What pauses are multiplied with: nothing, unless a test says otherwise."""
    value = [0.0]
    monkeypatch.setattr("dsets.fetch.turns.random.random", lambda: value[0])
    return value


@pytest.mark.usefixtures("chance")
def test_a_sample_outlasts_many_tries_of_a_server_that_is_away(
    address: str, server: Server, local: Pack
) -> None:
    server.routes["/train/s-1.h5"].statuses = [503] * 30
    with remote.open(address) as pack:
        assert np.array_equal(pack[10]["image"], local[10]["image"])


def test_a_stream_outlasts_a_server_that_is_away(address: str, server: Server) -> None:
    for number in range(6):
        server.routes[f"/train/s-{number}.h5"].statuses = [503] * 20
    patience = Patience(tries=2, pause_s=0, lasting_s=60)
    with remote.open(address, patience=patience) as pack, batches(pack, 7) as stream:
        assert sum(len(batch.index) for batch in stream) == 60


@pytest.mark.usefixtures("chance")
def test_a_long_wait_is_told_once(
    address: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsets.remote.waits.TOLD_S", 0.0)
    server.routes["/train/s-1.h5"].statuses = [503] * 30
    with remote.open(address) as pack:
        with pytest.warns(UserWarning, match=r"awaited for 0 s .*503") as told:
            pack[10]
        assert len(told) == 1
        pack[20]  # comes at once, so nothing is told


@pytest.mark.usefixtures("chance")
def test_opening_fails_after_few_tries(address: str, server: Server) -> None:
    server.routes["/train/index.json"].statuses = [503] * 99
    with pytest.raises(FetchError, match="no pack here"):
        remote.open(address)
    assert len(server.requests) == Patience().tries


def test_a_stream_goes_on_where_it_stopped_for_a_server_that_was_away_too_long(
    address: str, server: Server
) -> None:
    route = server.routes["/train/s-3.h5"]
    route.statuses = [503] * 999
    with (
        remote.open(address, patience=QUICK) as pack,
        batches(pack, 10, shuffle=False) as stream,
    ):
        seen: list[int] = []
        with pytest.raises(FetchError, match="goes on exactly where it stopped"):
            for batch in stream:
                seen += batch.index.tolist()
        route.statuses = []
        for batch in stream:
            seen += batch.index.tolist()
    assert seen == list(range(60))


def test_closing_ends_a_stream_that_waits_for_a_server_to_come_back(
    address: str, server: Server, chance: list[float]
) -> None:
    chance[0] = 1.0
    asked = threading.Event()
    told: list[BaseException] = []

    def take() -> None:
        try:
            next(iter(stream))
        except BaseException as error:
            told.append(error)

    route = server.routes["/train/s-0.h5"]
    route.statuses, route.on_request = [503] * 999, lambda route: asked.set()
    patience = Patience(pause_s=600, longest_pause_s=600, lasting_s=600)
    with remote.open(address, patience=patience) as pack:
        stream = batches(pack, 5, shuffle=False)
        consumer = threading.Thread(target=take)
        consumer.start()
        assert asked.wait(30)
        stream.close()
        consumer.join(30)
    assert [type(error) for error in told] == [StreamError]


def test_what_is_fetched_ahead_is_asked_for_again_once_the_server_is_back(
    address: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def back(route: Route) -> None:
        if not route.statuses:
            answered.set()

    answered = threading.Event()
    monkeypatch.setattr("dsets.remote.ahead.AGAIN_S", 0.0)
    route = server.routes["/train/s-2.h5"]
    route.statuses, route.on_request = [503] * (3 * QUICK.tries), back
    with remote.open(address, patience=QUICK) as pack:
        ahead = Ahead(pack)
        try:
            ahead.expect(np.array([20]))
            assert answered.wait(30)
        finally:
            ahead.close()


@pytest.mark.parametrize("status", [403, 404])
def test_a_shard_that_is_refused_once_is_asked_for_again(
    address: str, server: Server, status: int
) -> None:
    server.routes["/train/s-1.h5"].statuses = [status]
    with remote.open(address, patience=QUICK) as pack:
        assert pack[10]["key"] == "k10"


def test_a_shard_that_came_wrong_once_is_asked_for_again(
    address: str, server: Server, root: Path
) -> None:
    route = server.routes["/train/s-1.h5"]
    good = route.data
    bodies = iter([bytes(len(good)), good])

    def spoil(route: Route) -> None:
        route.data = next(bodies)

    route.on_request = spoil
    with remote.open(address, folder=root, patience=QUICK) as pack:
        assert pack[10]["key"] == "k10"


def test_a_shard_that_is_refused_again_and_again_is_given_up(address: str, server: Server) -> None:
    server.routes["/train/s-1.h5"].statuses = [404] * 99
    with (
        remote.open(address, patience=QUICK) as pack,
        pytest.raises(FetchError, match=r"404.*check that the whole pack lies there"),
    ):
        pack[10]
    assert len(server.asked("/train/s-1.h5")) == 3
