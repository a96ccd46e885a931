from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsets.errors import StreamError
from dsets.stream.prefetch import Prefetch
from tests.stream.streams import ours


def squares(threads: int = 3, ahead: int = 4) -> Prefetch[int, int]:
    return Prefetch(itertools.count(), lambda job: job * job, threads, ahead)


@given(threads=st.integers(1, 6), ahead=st.integers(1, 9), count=st.integers(0, 60))
@settings(deadline=None, max_examples=30)
def test_results_come_in_order_and_closing_leaves_no_thread(
    threads: int, ahead: int, count: int
) -> None:
    prefetch = squares(threads, ahead)
    assert [prefetch.get() for _ in range(count)] == [n * n for n in range(count)]
    prefetch.close()
    prefetch.close()
    assert not ours()


def test_order_holds_when_the_first_job_ends_last() -> None:
    others_done = threading.Event()

    def work(job: int) -> int:
        if job == 0:
            assert others_done.wait(20)
        elif job == 2:
            others_done.set()
        return job

    prefetch = Prefetch(itertools.count(), work, 2, 3)
    assert [prefetch.get() for _ in range(5)] == [0, 1, 2, 3, 4]
    prefetch.close()


def test_waiting_for_a_result_makes_no_room_for_another() -> None:
    begun: list[int] = []

    def work(job: int) -> int:
        begun.append(job)
        return job

    prefetch = Prefetch(itertools.count(), work, 1, 1)
    prefetch.wait()
    prefetch.wait()
    assert begun == [0]
    assert [prefetch.get() for _ in range(3)] == [0, 1, 2]
    prefetch.close()
    prefetch.wait()


def test_never_more_than_ahead_are_made_before_they_are_taken() -> None:
    full = threading.Event()
    taken = 0
    too_far: list[int] = []

    def work(job: int) -> int:
        if job >= taken + 3:
            too_far.append(job)
        if job == 2:
            full.set()
        return job

    prefetch = Prefetch(itertools.count(), work, 4, 3)
    assert full.wait(20)
    for expected in range(30):
        taken = expected + 1  # said before it is taken: the bound must hold at any moment
        assert prefetch.get() == expected
    prefetch.close()
    assert not too_far


def test_a_failure_is_raised_in_its_turn_and_ends_everything() -> None:
    def work(job: int) -> int:
        if job == 3:
            raise ZeroDivisionError("three")
        return job

    prefetch = Prefetch(itertools.count(), work, 3, 6)
    assert [prefetch.get() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError, match="three"):
        prefetch.get()
    assert not ours()
    with pytest.raises(StreamError, match="closed"):
        prefetch.get()


def test_a_failure_of_drawing_a_job_is_raised_in_its_turn() -> None:
    def jobs() -> Iterator[int]:
        yield from range(2)
        raise OSError("no more plans")

    prefetch = Prefetch(jobs(), lambda job: job, 3, 6)
    assert [prefetch.get(), prefetch.get()] == [0, 1]
    with pytest.raises(OSError, match="no more plans"):
        prefetch.get()
    assert not ours()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_even_what_is_no_exception_reaches_the_consumer(error: BaseException) -> None:
    def work(job: int) -> int:
        raise error

    prefetch = Prefetch(itertools.count(), work, 2, 2)
    with pytest.raises(type(error)):
        prefetch.get()
    assert not ours()


def test_promise_6_dropping_it_ends_the_threads() -> None:
    prefetch = squares()
    prefetch.get()
    del prefetch
    assert not ours()


def test_promise_6_a_reference_cycle_around_it_ends_the_threads_when_collected() -> None:
    prefetch = squares()
    cycle: list[object] = [prefetch]
    cycle.append(cycle)
    gone = weakref.ref(prefetch)
    del prefetch, cycle
    gc.collect()
    assert gone() is None and not ours()


def test_promise_6_a_worker_that_collects_it_does_not_wait_for_itself() -> None:
    """The last reference dies in one of its own threads."""
    box: list[Prefetch[int, int]] = []
    filled, dropped = threading.Event(), threading.Event()

    def work(job: int) -> int:
        assert filled.wait(20)
        if job == 1:
            box.clear()
            dropped.set()
        return job

    box.append(Prefetch(itertools.count(), work, 2, 4))
    threads = ours()
    filled.set()
    assert dropped.wait(20)
    for thread in threads:
        thread.join(20)
    assert not ours()


def test_closing_from_another_thread_wakes_the_waiting_consumer() -> None:
    working, release = threading.Event(), threading.Event()

    def work(job: int) -> int:
        working.set()
        assert release.wait(20)
        return job

    prefetch = Prefetch(itertools.count(), work, 1, 1)
    heard: list[BaseException] = []

    def consume() -> None:
        try:
            prefetch.get()
        except StreamError as error:
            heard.append(error)

    consumer = threading.Thread(target=consume)
    consumer.start()
    assert working.wait(20)
    closer = threading.Thread(target=prefetch.close)
    closer.start()
    consumer.join(20)
    assert len(heard) == 1
    release.set()
    closer.join(20)
    assert not ours()


def test_a_consumer_interrupted_as_it_begins_to_wait_gets_the_result_later() -> None:
    """An interrupt may strike where ``Condition.wait`` has let go of the lock and not yet taken
    care to leave again: then it still stands among those that wait."""
    release = threading.Event()

    def work(job: int) -> int:
        assert release.wait(20)
        return job

    prefetch = Prefetch(itertools.count(), work, 1, 1)
    ready: Any = prefetch._shared.ready
    let_go = ready._release_save

    def interrupted() -> None:
        ready._release_save = let_go
        let_go()
        raise KeyboardInterrupt

    ready._release_save = interrupted
    with pytest.raises((KeyboardInterrupt, RuntimeError)):  # the latter: the lock is not held
        prefetch.get()
    got: list[int] = []
    consumer = threading.Thread(target=lambda: got.append(prefetch.get()), daemon=True)
    consumer.start()
    consumer.join(0.1)  # now it waits
    release.set()
    consumer.join(20)
    assert got == [0]
    prefetch.close()
    assert not ours()


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60
    )


START = """
import itertools, sys, threading, os
from dsets.stream.prefetch import Prefetch
prefetch = Prefetch(itertools.count(), lambda n: bytearray(1000), 4, 8)
prefetch.get()
"""


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise RuntimeError('the step failed')", 1),
        ("import atexit; atexit.register(prefetch.get)", 0),
        ("cycle = [prefetch]; cycle.append(cycle); del prefetch", 0),
    ],
)
def test_promise_6_the_interpreter_ends_at_once_and_silently(ending: str, status: int) -> None:
    ended = run_script(START + ending)
    assert ended.returncode == status, ended.stderr
    assert ("RuntimeError: the step failed" in ended.stderr) == (status == 1)
    assert status == 1 or not ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_knows_that_its_threads_are_gone_and_ends_without_waiting() -> None:
    prefetch = squares()
    prefetch.get()
    held, release = threading.Event(), threading.Event()

    def hold_the_lock() -> None:
        """As a thread may at the moment of the fork; in the child nobody ever lets it go."""
        with prefetch._shared.lock:
            held.set()
            release.wait(20)

    holder = threading.Thread(target=hold_the_lock)
    holder.start()
    assert held.wait(20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of threads at fork
        child = os.fork()
    if child == 0:
        signal.alarm(20)  # a hang ends the child, and the test
        forked = prefetch.forked
        prefetch.close()
        os._exit(0 if forked else 2)
    release.set()
    holder.join(20)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not prefetch.forked and prefetch.get() == 1
    prefetch.close()


def test_the_threads_hold_no_result_after_it_was_taken() -> None:
    class Result:
        pass

    prefetch = Prefetch(itertools.count(), lambda job: Result(), 2, 2)
    results = [prefetch.get() for _ in range(6)]
    refs = [weakref.ref(result) for result in results]
    prefetch.close()
    results.clear()
    gc.collect()
    assert [ref() for ref in refs] == [None] * 6


def test_threads_that_the_system_refuses_are_told_and_none_remains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.endswith("-2"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StreamError, match="starts no more threads; expected 4, got 2"):
            squares(threads=4)
    assert not ours()
    squares(threads=2).close()
