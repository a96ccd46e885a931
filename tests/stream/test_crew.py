from __future__ import annotations

import gc
import itertools
import threading
import time
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dsets.pack import Pack
from dsets.stream import Key, Options, Order, Stream, assembly
from dsets.stream.crew import Crew, Task, _Parts
from dsets.stream.prefetch import Prefetch
from dsets.transforms import Crop, Flip, Normalise
from dsets.transforms.recipe import Transform

MakePack = Callable[..., Pack]
FIXED = ("image", "label", "weight")


def test_threads_without_a_job_make_parts_of_another_s() -> None:
    """Four tasks that wait for each other: with one job ahead only helpers can do them."""
    crew = Crew(4)
    together = threading.Barrier(4, timeout=20)
    made: list[int] = []

    def work(job: int) -> int:
        crew.share([lambda: made.append(together.wait())] * 4)
        return job

    prefetch = Prefetch(itertools.count(), work, 4, 1, crew=crew)
    assert [prefetch.get() for _ in range(3)] == [0, 1, 2]
    prefetch.close()
    assert len(made) >= 12 and sorted(made[:4]) == [0, 1, 2, 3]


def test_who_was_woken_for_a_job_and_helps_passes_it_on() -> None:
    """Two of three idle threads are woken, one of them because there is room for a job; both
    help, so the third must come for the job."""
    drawn = threading.Event()
    helped: list[bool] = []

    class Slow(Crew):
        """Who shares comes too late for its own tasks."""

        def share(self, tasks: Sequence[Task]) -> None:
            with self.lock:  # those woken come when all are
                assert prefetch.get() == 0
                super().share(tasks)

        def _one(self, parts: _Parts) -> bool:
            gone = threading.Condition(self.lock)
            while parts.tasks and threading.current_thread() is threading.main_thread():
                gone.wait(0.01)
            return super()._one(parts)

    def work(job: int) -> int:
        if job == 1:
            drawn.set()
        return job

    crew = Slow(2)
    prefetch = Prefetch(itertools.count(), work, 3, 1, crew=crew)
    time.sleep(0.1)  # now they are idle
    crew.share([lambda: helped.append(drawn.wait(20))] * 2)
    prefetch.close()
    assert helped == [True, True]


def test_a_crew_of_nobody_else_does_all_itself() -> None:
    made: list[int] = []
    Crew(3).share([lambda number=number: made.append(number) for number in range(5)])  # type: ignore[misc]
    assert made == [0, 1, 2, 3, 4]


def test_a_task_that_fails_fails_the_job_and_leaves_nothing_behind() -> None:
    class Mine(Exception):
        pass

    def fail() -> None:
        raise Mine("task")

    crew = Crew(2)
    later: list[int] = []
    with pytest.raises(Mine, match="task") as caught:
        crew.share([fail, lambda: later.append(1)])
    assert not later and not crew.wanted
    gone = weakref.ref(caught.value)
    del caught
    gc.disable()
    try:
        assert gone() is None  # no reference cycle
    finally:
        gc.enable()


def test_batches_made_together_are_those_that_one_thread_makes(
    make_pack: MakePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "_SHARED", 0)
    pack = make_pack(37)
    transform: list[Transform] = [Crop(5), Flip(), Normalise.of(pack)]
    order = Order(37, Key(pack.samples_digest, 3, True), 8)
    found = []
    for threads in (1, 2, 5, 9):
        with Stream(pack, order, transform, options=Options(threads=threads)) as stream:
            found.append([(batch.index, *(batch[name] for name in FIXED)) for batch in stream])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            for a, b in zip(one, two, strict=True):
                assert np.array_equal(a, b), (a, b)
