"""The threads that run a pipeline: bounded, in anybody's order, ended with their block."""

from __future__ import annotations

import threading

import pytest

from dsets.prepare.makers import Makers


def test_one_maker_is_the_caller_itself() -> None:
    with Makers(1) as makers:
        assert makers.submit(threading.get_ident).result() == threading.get_ident()
        assert makers.aside(threading.get_ident).result() == threading.get_ident()


def test_makers_are_never_further_ahead_than_twice_their_number() -> None:
    gate, begun = threading.Event(), threading.Semaphore(0)
    handed = 0

    def hand_over() -> None:
        nonlocal handed
        with Makers(2) as makers:
            for _ in range(20):
                makers.submit(gate.wait)
                handed += 1
                begun.release()

    thread = threading.Thread(target=hand_over)
    thread.start()
    for _ in range(5):
        assert begun.acquire(timeout=30)
    assert not begun.acquire(timeout=0.1)  # the sixth waits for the first
    assert handed == 5
    gate.set()
    thread.join(30)
    assert handed == 20


def test_what_a_call_raised_is_raised_to_whoever_hands_over_more() -> None:
    with pytest.raises(ZeroDivisionError), Makers(2) as makers:
        for _ in range(20):
            makers.submit(lambda: 1 // 0)


def test_after_a_failure_what_has_not_begun_never_does() -> None:
    gate = threading.Event()
    made: list[int] = []
    with pytest.raises(KeyError), Makers(2) as makers:
        running = [makers.submit(gate.wait) for _ in range(2)]
        waiting = [makers.submit(made.append, number) for number in range(3)]
        waiting[-1].add_done_callback(lambda _: gate.set())
        raise KeyError
    assert all(future.result() for future in running)
    assert all(future.cancelled() for future in waiting) and made == []


def test_after_a_failure_what_was_begun_aside_is_made_for_those_who_wait_for_it() -> None:
    gate = threading.Event()
    with pytest.raises(KeyError), Makers(2) as makers:
        for _ in range(2):
            makers.submit(gate.wait)
        waiting = makers.submit(str, 1)
        waiting.add_done_callback(lambda _: gate.set())
        aside = makers.aside(str, 2)
        raise KeyError
    assert waiting.cancelled() and aside.result(30) == "2"
