"""A cluster of real processes, whose workers and jobs are killed: the same bytes, and no debris."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from distributed import CancelledError, Client, LocalCluster
from distributed.comm import CommClosedError

from dsets import prepare
from dsets.errors import PipelineError, PrepareError, UsageError
from dsets.prepare import ShardEvent, cluster

DASK = (sys.executable, "-m", "dask")

Hashes = Callable[[Path], dict[str, str]]


class Cluster:
    """A scheduler and workers, each a process, in a folder of their own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        folder.mkdir()
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"
        )
        self.address = self._line(self.scheduler, "Scheduler at:").split()[-1]
        self.workers: list[subprocess.Popen[str]] = []

    def hire(self, count: int) -> None:
        """Start that many workers more; waits until they are registered."""
        arguments = ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--death-timeout", "5"]
        new = [self._start("worker", self.address, *arguments) for _ in range(count)]
        for worker in new:
            self._line(worker, "Starting established connection")
        self.workers += new

    def kill(self, number: int) -> None:
        worker = self.workers.pop(number)
        worker.kill()
        worker.wait()

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*DASK, *arguments], stderr=subprocess.PIPE, text=True, cwd=self.folder
        )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process

    def _line(self, process: subprocess.Popen[str], text: str) -> str:
        for line in process.stderr or ():
            if text in line:
                return line.strip()
        pytest.fail(f"a Dask process ended without saying {text!r}")


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path / "cluster", stack)


def test_workers_killed_at_random_moments_change_no_byte(
    tiny: Any, dask: Cluster, hashes: Hashes, debris: Callable[[Path], list[str]]
) -> None:
    prepare.run(tiny.plan("calm", shards=30))
    dask.hire(3)
    moments = random.Random(3)
    deaths = set(moments.sample(range(1, 25), 2))
    seen = 0

    def kill(event: Any) -> None:
        nonlocal seen
        if isinstance(event, ShardEvent):
            seen += 1
            if seen in deaths:
                dask.kill(moments.randrange(len(dask.workers)))
                dask.hire(1)

    prepare.run(tiny.plan("out", shards=30), scheduler=dask.address, progress=kill)
    assert hashes(tiny.folder / "out") == hashes(tiny.folder / "calm")
    assert debris(tiny.folder / "out") == []


def test_two_jobs_on_one_pack_of_which_one_is_killed(
    tiny: Any, dask: Cluster, hashes: Hashes, debris: Callable[[Path], list[str]]
) -> None:
    prepare.run(tiny.plan("calm", shards=30))
    dask.hire(2)
    size, out = str(tiny.shard_bytes(30)), str(tiny.folder / "out")
    command = ["--out", out, "--shard-size", size, "--scheduler", dask.address, "--json"]
    with tiny.command(*command) as first, tiny.command(*command) as second:
        for job in (first, second):
            job.stdout.readline()  # its plan: both have begun
        for _ in range(6):
            first.stdout.readline()
        first.kill()
        said, _ = second.communicate(timeout=120)
    assert second.returncode == 0 and '"event": "done"' in said.splitlines()[-1]
    assert hashes(tiny.folder / "out") == hashes(tiny.folder / "calm")
    assert debris(tiny.folder / "out") == []


def test_a_cluster_without_workers_is_told_and_given_up_and_the_job_goes_on_elsewhere(
    tiny: Any, dask: Cluster, hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_LOOK_S", 0.1)
    monkeypatch.setattr(cluster, "_LOST_S", 1)
    prepare.run(tiny.plan("calm"))
    dask.hire(1)
    said: list[str] = []

    def kill(event: Any) -> None:
        said.append(event.message)
        if isinstance(event, ShardEvent) and dask.workers:
            dask.kill(0)

    with pytest.raises(PrepareError, match="; got there have been no workers for 1 seconds; "):
        prepare.run(tiny.plan("out"), scheduler=dask.address, progress=kill)
    assert "the cluster has no workers at the moment; waiting for one" in said
    bokeh = find_spec("bokeh")
    told = "Dask's dashboard: http://127.0.0.1:" if bokeh else "the Dask cluster has no dashboard: "
    assert any(text.startswith(told) for text in said)
    prepare.run(tiny.plan("out"))
    assert hashes(tiny.folder / "out") == hashes(tiny.folder / "calm")


def test_a_scheduler_killed_at_a_random_moment_and_the_same_call_on_another(
    tiny: Any, dask: Cluster, hashes: Hashes, debris: Callable[[Path], list[str]]
) -> None:
    prepare.run(tiny.plan("calm", shards=30))
    dask.hire(2)
    moment = random.Random(1).randrange(3, 20)

    def kill(event: Any) -> None:
        if isinstance(event, ShardEvent) and event.number == moment:
            os.kill(dask.scheduler.pid, signal.SIGKILL)

    with pytest.raises(PrepareError, match="lost the Dask cluster"):
        prepare.run(tiny.plan("out", shards=30), scheduler=dask.address, progress=kill)
    prepare.run(tiny.plan("out", shards=30), workers=2)
    assert hashes(tiny.folder / "out") == hashes(tiny.folder / "calm")
    assert debris(tiny.folder / "out") == []


def empty_cluster() -> Any:
    """A scheduler in this process, without workers."""
    return LocalCluster(
        n_workers=0,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    )


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (
            "submit",
            CommClosedError("in <TCP (closed) ConnectionPool.gather local=tcp://1.2.3.4:5>"),
            "the connection to the scheduler broke",
        ),
        (
            "submit",
            CancelledError("2 Futures cancelled:\nReasons:\n2 Futures cancelled for reason: lost."),
            "the scheduler has gone, or forgot the tasks under way",
        ),
        ("nthreads", CommClosedError("in <TCP (closed)>"), "the scheduler does not answer"),
        ("nthreads", OSError("Timed out trying to connect"), "the scheduler does not answer"),
        ("nthreads", TimeoutError(), "the scheduler does not answer"),
    ],
)
def test_a_lost_cluster_is_told_in_words_of_our_own(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, call: str, error: Exception, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with (
        empty_cluster() as there,
        Client(there, set_as_default=False) as client,
    ):
        monkeypatch.setattr(client, call, fail)
        with pytest.raises(PrepareError) as caught:
            next(cluster._on(client, tiny.plan().packs[0], [[0]], 1, print))
    assert (caught.value.what, caught.value.got) == ("lost the Dask cluster", said)
    assert caught.value.remedy == "finished shards are kept: run the same command again"


def test_a_scheduler_that_dies_before_it_has_workers_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Client, count: int, timeout: float) -> None:
        raise OSError("Timed out trying to connect to tcp://127.0.0.1:44215 after 30 s")

    monkeypatch.setattr(Client, "wait_for_workers", fail)
    with (
        empty_cluster() as there,
        pytest.raises(PrepareError, match="had workers; got the scheduler does not answer"),
        cluster.tasks(None, there.scheduler_address, tmp_path, print),
    ):
        pass


def test_a_scheduler_that_is_missed_only_when_records_are_taken_again(
    tiny: Any, dask: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_LOOK_S", 0.05)
    dask.hire(1)
    plan = tiny.plan().packs[0]
    plan.part.mkdir(parents=True)
    with Client(dask.address, set_as_default=False) as client:
        monkeypatch.setattr(client, "_timeout", 0.1)  # of looking for the scheduler again
        records = cluster._on(client, plan, [[number] for number in range(9)], 1, print)
        next(records)
        dask.scheduler.kill()
        while client.status != "closed":  # Dask has given up
            os.sched_yield()
        ways = r"scheduler (does not answer|has gone)|connection to the scheduler broke"
        with pytest.raises(PrepareError, match=rf"lost the Dask cluster; got the ({ways})"):
            list(records)


def test_the_workers_of_a_killed_job_end_and_the_next_job_sweeps_their_folder(
    tiny: Any, hashes: Hashes, debris: Callable[[Path], list[str]]
) -> None:
    prepare.run(tiny.plan("calm", shards=30))
    size, out = str(tiny.shard_bytes(30)), str(tiny.folder / "out")
    with tiny.command("--out", out, "--shard-size", size, "--workers", "2", "--json") as job:
        while '"shard"' not in job.stdout.readline():
            continue  # until its workers work
        job.kill()
        # Ends when nobody holds its pipes any more: its workers neither.
        job.communicate(timeout=60)
    assert any("dask" in name for name in debris(tiny.folder / "out"))
    prepare.run(tiny.plan("out", shards=30))
    assert hashes(tiny.folder / "out") == hashes(tiny.folder / "calm")
    assert debris(tiny.folder / "out") == []


def test_only_a_few_tasks_a_worker_are_known_to_the_scheduler_at_any_time(tiny: Any) -> None:
    known: list[int] = []
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        local_directory=str(tiny.folder / "scratch"),
    ) as local:

        def count(event: Any) -> None:
            known.append(len(local.scheduler.tasks))

        plan = tiny.plan(shards=90, splits=["train"])
        prepare.run(plan, scheduler=local.scheduler_address, progress=count)
    assert plan.packs[0].shards == 90 and len(known) > 90
    # Two a thread, and those whose results are on their way.
    assert 0 < max(known) <= 8


def test_what_is_no_address_is_refused_before_names_are_looked_up(tmp_path: Path) -> None:
    for scheduler in ("foo", "tcp://", "tcp://host", "host:port", ""):
        with (
            pytest.raises(UsageError, match="tcp://host:8786"),
            cluster.tasks(None, scheduler, tmp_path, print),
        ):
            pass


def test_a_pipeline_that_a_worker_does_not_have_is_told_and_the_worker_lives(
    tiny: Any, dask: Cluster, hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_LOST_S", 5)
    recipe = tiny.recipe("pass")
    plan = tiny.plan(pipeline=recipe)
    dask.hire(1)
    good = recipe.read_text()
    for there in (None, good + "\n# another version"):
        recipe.unlink()
        if there:
            recipe.write_text(there)
        with pytest.raises(PipelineError, match=r"no such pipeline.*; every worker|source differs"):
            prepare.run(plan, scheduler=dask.address)
        recipe.write_text(good)
    assert dask.workers[0].poll() is None
    prepare.run(plan, scheduler=dask.address)
    prepare.run(tiny.plan("calm", pipeline=recipe))
    assert hashes(tiny.folder / "out") == hashes(tiny.folder / "calm")
