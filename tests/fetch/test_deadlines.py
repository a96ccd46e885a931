"""Time is up once, in order, and never after the block."""

from __future__ import annotations

import threading
from unittest import mock

import pytest

from dsets.fetch.deadlines import Deadlines

FAR = 3600.0


def test_an_act_is_called_when_time_is_up() -> None:
    called = threading.Event()
    with Deadlines().within(0.0, lambda: called.set()):
        assert called.wait(10)


def test_one_that_asks_for_it_is_called_again_until_its_block_ends() -> None:
    thrice, calls = threading.Event(), 0

    def act() -> float | None:
        nonlocal calls
        calls += 1
        if calls == 3:
            thrice.set()
            return None
        return 0.0

    with Deadlines().within(0.0, act):
        assert thrice.wait(10)
    assert calls == 3


def test_one_that_was_called_off_is_not_called_and_the_thread_ends_with_the_last() -> None:
    deadlines, before = Deadlines(), set(threading.enumerate())
    with deadlines.within(FAR, _never):
        (thread,) = set(threading.enumerate()) - before
        with deadlines.within(FAR, _never):
            assert set(threading.enumerate()) - before == {thread}
    thread.join(10)
    assert not thread.is_alive()


def test_a_sooner_one_comes_before_a_later_one_that_began_first() -> None:
    deadlines, called = Deadlines(), threading.Event()
    with deadlines.within(FAR, _never), deadlines.within(0.0, lambda: called.set()):
        assert called.wait(10)


def test_after_one_was_called_others_still_are_though_its_block_goes_on() -> None:
    deadlines = Deadlines()
    first, second = threading.Event(), threading.Event()
    with deadlines.within(0.0, lambda: first.set()):
        assert first.wait(10)
        with deadlines.within(0.0, lambda: second.set()):
            assert second.wait(10)


def test_a_block_does_not_end_while_its_act_is_running() -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def act() -> None:
        begun.set()
        assert go.wait(10)
        ended.set()

    def release() -> None:
        assert begun.wait(10)
        go.set()

    helper = threading.Thread(target=release)
    with Deadlines().within(0.0, act):
        assert begun.wait(10)
        helper.start()
    assert ended.is_set()
    helper.join()


def test_one_that_raises_is_told_and_the_others_are_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    deadlines, called = Deadlines(), threading.Event()
    with deadlines.within(0.0, _never), deadlines.within(0.01, lambda: called.set()):
        assert called.wait(10)
    assert [one.exc_type for one in told] == [AssertionError]


def test_where_no_thread_can_be_started_the_next_one_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deadlines, called = Deadlines(), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", mock.Mock(side_effect=RuntimeError))
        with pytest.raises(RuntimeError), deadlines.within(0.0, _never):
            raise AssertionError("not reached")
    with deadlines.within(0.0, lambda: called.set()):
        assert called.wait(10)


def test_many_threads_begin_and_end() -> None:
    deadlines, before = Deadlines(), set(threading.enumerate())

    def work() -> None:
        for _ in range(200):
            with deadlines.within(FAR, _never):
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    called = threading.Event()
    with deadlines.within(0.0, lambda: called.set()):
        assert called.wait(10)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def _never() -> None:
    raise AssertionError("called")
