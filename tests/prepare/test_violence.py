"""Prepare's promises 2 and 3 under kill -9, Ctrl-C, dead workers and full disks: real ones."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dsets import prepare
from dsets.errors import PrepareError

MAIN = "import sys, dsets.cli; sys.exit(dsets.cli.main())"
DASK = (sys.executable, "-m", "dask")

Hashes = Callable[[Path], dict[str, str]]

#: Kills the process that comes by, once for each file called bomb-*.
BOMB = """
    for bomb in HERE.glob("bomb-*"):
        if sample.key == "train/00042":
            bomb.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
"""


def shards(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.h5")}


@pytest.mark.parametrize("workers", [None, 2])
def test_promise_3_a_killed_job_goes_on_to_the_same_bytes(
    tiny: Any, hashes: Hashes, workers: int | None
) -> None:
    prepare.run(tiny.plan("calm"))
    out = tiny.folder / "out"
    per_shard = str(tiny.shard_bytes(9))
    arguments = ["--out", str(out), "--shard-size", per_shard, "--json"]
    arguments += [] if workers is None else ["--workers", str(workers)]
    moments = random.Random(workers)
    kept: dict[str, int] = {}
    for _ in range(4):
        job = tiny.command(*arguments)
        with job:
            for _ in range(moments.randrange(1, 9)):
                job.stdout.readline()
            job.kill()
        if not (out / "train").exists():
            now = shards(out / "train.part")
            assert kept.items() <= now.items()  # nothing finished was made twice
            kept = finished(tiny, now)
        assert not (out / "test").exists() or (out / "test" / "index.json").exists()
    prepare.run(tiny.plan("out"))
    assert hashes(out) == hashes(tiny.folder / "calm")
    assert sorted(path.name for path in out.iterdir()) == ["test", "train"]


def finished(tiny: Any, there: dict[str, int]) -> dict[str, int]:
    """Those shards that have a record: killed after the shard, before the record, one is redone."""
    part = tiny.folder / "out" / "train.part"
    return {name: at for name, at in there.items() if (part / name).with_suffix(".json").exists()}


def test_promise_3_ctrl_c_says_so_and_the_same_command_goes_on(tiny: Any, hashes: Hashes) -> None:
    prepare.run(tiny.plan("calm"))
    size = str(tiny.shard_bytes(9))
    arguments = [
        "--out",
        str(tiny.folder / "out"),
        "--shard-size",
        size,
        "--json",
        "--workers",
        "2",
    ]
    job = tiny.command(*arguments)
    for _ in range(3):
        job.stdout.readline()
    os.killpg(job.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    _, said = job.communicate(timeout=60)
    assert job.returncode == 130
    assert said.strip() == "dsets: interrupted; the same command goes on from here"
    with pytest.raises(ProcessLookupError):
        os.killpg(job.pid, 0)  # no worker is left
    prepare.run(tiny.plan("out"))
    assert hashes(tiny.folder / "out") == hashes(tiny.folder / "calm")
    assert not list((tiny.folder / "out").glob(".*"))


def test_promise_3_ctrl_c_while_workers_start_is_one_line(tiny: Any) -> None:
    out = tiny.folder / "out"
    job = tiny.command("--out", str(out), "--quiet", "--workers", "2")
    while job.poll() is None and not any(out.glob(".dask-*.part/*/*")):
        os.sched_yield()  # until the first worker's folder is there
    os.killpg(job.pid, signal.SIGINT)
    _, said = job.communicate(timeout=60)
    assert job.returncode == 130
    assert said.strip() == "dsets: interrupted; the same command goes on from here"
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("starting", [False, True])
def test_sigterm_ends_a_job_as_ctrl_c_does(tiny: Any, starting: bool) -> None:
    out = tiny.folder / "out"
    size = str(tiny.shard_bytes(9))
    job = tiny.command("--out", str(out), "--shard-size", size, "--json", "--quiet", "--workers=2")
    if starting:
        while job.poll() is None and not any(out.glob(".dask-*.part/*/*")):
            os.sched_yield()  # until the first worker's folder is there
    else:
        for _ in range(3):
            job.stdout.readline()
    os.kill(job.pid, signal.SIGTERM)  # as a scheduler does
    events, said = job.communicate(timeout=60)
    assert job.returncode == 143
    last = json.loads(events.splitlines()[-1])
    assert (last["event"], last["kind"], last["what"]) == ("error", "Interrupted", "interrupted")
    assert said.strip() == "dsets: interrupted; the same command goes on from here"
    assert not list(out.glob(".*"))
    limit = time.monotonic() + 60  # what was on its way up ends when it finds nobody
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < limit:
            os.killpg(job.pid, 0)  # no worker is left
            os.sched_yield()


def test_a_worker_killed_while_it_starts_costs_a_second_start(tiny: Any, hashes: Hashes) -> None:
    prepare.run(tiny.plan("calm"))
    size = str(tiny.shard_bytes(9))
    job = tiny.command("--out", str(tiny.folder / "out"), "--shard-size", size, "--workers", "2")
    killed = False
    while job.poll() is None and not killed:
        for child in children(job.pid):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)
                killed = True
    _, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    assert "the worker processes did not start" in said and "once more" in said
    assert hashes(tiny.folder / "out") == hashes(tiny.folder / "calm")


def children(pid: int) -> list[int]:
    """The processes that the threads of a process began, which live."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError):
            found += map(int, path.read_text().split())
    return found


def test_a_worker_killed_once_is_replaced_and_its_shard_made(tiny: Any, hashes: Hashes) -> None:
    recipe = tiny.recipe(BOMB)
    prepare.run(tiny.plan("calm", pipeline=recipe))
    (tiny.folder / "bomb-1").touch()
    prepare.run(tiny.plan("out", pipeline=recipe), workers=2)
    assert not (tiny.folder / "bomb-1").exists()
    assert hashes(tiny.folder / "out") == hashes(tiny.folder / "calm")


def test_a_shard_that_kills_every_worker_fails_the_job_clearly(tiny: Any, hashes: Hashes) -> None:
    recipe = tiny.recipe(BOMB)
    prepare.run(tiny.plan("calm", pipeline=recipe))
    for number in range(20):
        (tiny.folder / f"bomb-{number}").touch()
    with pytest.raises(PrepareError, match="a worker died again and again"):
        prepare.run(tiny.plan("out", pipeline=recipe), workers=2)
    for bomb in tiny.folder.glob("bomb-*"):
        bomb.unlink()
    prepare.run(tiny.plan("out", pipeline=recipe))
    assert hashes(tiny.folder / "out") == hashes(tiny.folder / "calm")


def test_a_scheduler_that_dies_fails_the_job_clearly_and_it_goes_on(
    tiny: Any, hashes: Hashes
) -> None:
    recipe = tiny.recipe(
        """
    if sample.key == "train/00042" and (HERE / "scheduler").exists():
        os.kill(int((HERE / "scheduler").read_text()), signal.SIGKILL)
        (HERE / "scheduler").unlink()
"""
    )
    prepare.run(tiny.plan("calm", pipeline=recipe))
    scheduler = subprocess.Popen(
        [*DASK, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tiny.folder,
    )
    with scheduler:
        address = _address(scheduler)
        worker = subprocess.Popen(
            [*DASK, "worker", address, "--no-nanny", "--no-dashboard", "--death-timeout", "5"],
            stderr=subprocess.DEVNULL,
            cwd=tiny.folder,
        )
        with worker:
            (tiny.folder / "scheduler").write_text(str(scheduler.pid))
            # Whatever Dask notices first: a call that breaks, tasks that are gone, or silence.
            ways = (
                "the connection to the scheduler broke",
                "the scheduler has gone, or forgot the tasks under way",
                "the scheduler does not answer",
            )
            said = f": lost the Dask cluster; got ({'|'.join(ways)}); finished shards are kept: "
            with pytest.raises(PrepareError, match=said):
                prepare.run(tiny.plan("out", pipeline=recipe), scheduler=address)
            worker.kill()
    assert not (tiny.folder / "out" / "train").exists()
    prepare.run(tiny.plan("out", pipeline=recipe))
    assert hashes(tiny.folder / "out") == hashes(tiny.folder / "calm")


def _address(scheduler: Any) -> str:
    for line in scheduler.stderr:
        if "Scheduler at:" in line:
            return str(line.split()[-1])
    pytest.fail("the scheduler did not start")


#: Fills the disk below the packs, once, and only where the test has armed it.
FILL = """
    disk = HERE / "disk"
    if sample.key == "train/00042" and (disk / "armed").exists():
        (disk / "armed").unlink()
        with open(disk / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)) == 4096: pass
            except OSError: pass
"""


@pytest.mark.parametrize("workers", ["", "--workers 1"])
def test_a_disk_that_fills_up_fails_the_job_clearly_and_it_goes_on(
    tiny: Any, hashes: Hashes, workers: str
) -> None:
    recipe = tiny.recipe(FILL)
    prepare.run(tiny.plan("calm", pipeline=recipe))
    disk, kept = tiny.folder / "disk", tiny.folder / "out"
    disk.mkdir()
    command = f"{sys.executable} -c '{MAIN}' prepare tiny --pipeline {recipe} {workers}"
    command += f" --shard-size {tiny.shard_bytes(9)} --out {disk}/out"
    small = f"mount -t tmpfs -o size=8m none {disk} && touch {disk}/armed && {command}; "
    job = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{small} code=$?; cp -a {disk}/out {kept}; exit $code"],
        stderr=subprocess.PIPE,
        text=True,
    )
    if "unshare:" in job.stderr or "mount:" in job.stderr:
        pytest.skip("no small disk can be mounted here")
    assert job.returncode == 1, job.stderr
    (said,) = [line for line in job.stderr.splitlines() if line.startswith("dsets: error")]
    assert "cannot be written: No space left on device; finished shards are kept" in said
    assert [path.name for path in kept.iterdir()] == ["train.part"]
    assert 0 < len(shards(kept / "train.part")) < 9
    prepare.run(tiny.plan("out", pipeline=recipe))
    assert hashes(kept) == hashes(tiny.folder / "calm")
