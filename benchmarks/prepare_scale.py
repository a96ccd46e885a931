"""What thousands of tasks cost a scheduler: `prepare_scale.py [--save]`.

Simulated: as many tasks as AlexNet's pack of 14,197,122 pictures has at the default shard size, on
a real scheduler with two real workers; but each shard holds 100 generated images of one pixel, so
what is measured is the cost of tasks, not of pixels. What the job's process needs for the keys,
``index_imagenet.py --whole`` tells.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from record import append, line

PICTURES = 14_197_122
SAMPLES = 100
WORKERS = 2
EVERY = 100
DASK = (sys.executable, "-m", "dask")


def catalogue(folder: Path, images: int) -> None:
    """A manifest ``dots`` of that many images of one pixel, and their file in the store."""
    data = struct.pack(">HBBIII", 0, 8, 3, images, 1, 1) + bytes(images)
    raw = folder / "home" / "raw" / "dots"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "images").write_bytes(data)
    (folder / "manifests").mkdir(exist_ok=True)
    (folder / "manifests" / "dots.toml").write_text(
        'schema = 1\nname = "dots"\ntitle = "Dots"\nhomepage = "https://example.org"\n'
        'licence = "CC0-1.0"\naccess = "open"\ncitation = "none"\nreader = "idx"\n'
        f'pipeline = "as_is"\n[[file]]\nname = "images"\nbytes = {len(data)}\n'
        f'sha256 = "{hashlib.sha256(data).hexdigest()}"\naddresses = ["https://example.org/x"]\n'
        f'[split.train]\nsamples = {images}\ntraining = true\nfiles = ["images"]\n'
        '[split.train.reader]\nimage = "images"\n'
        '[field.image]\ndtype = "uint8"\nshape = [1, 1, 1]\n'
    )


def memory(pid: int) -> float:
    """Resident MiB of a process."""
    for entry in Path(f"/proc/{pid}/status").read_text().splitlines():
        if entry.startswith("VmRSS:"):
            return int(entry.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no memory")


def processor(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def started(stack: ExitStack, text: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A Dask process, and the line in which it says ``text``."""
    process = subprocess.Popen([*DASK, *arguments], stderr=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    for said in process.stderr or ():
        if text in said:
            return process, said.strip()
    raise RuntimeError(f"dask {arguments[0]} did not start")


def tasks(folder: Path, count: int, task_shards: int) -> list[dict[str, Any]]:
    """Run a job of ``count`` tasks; what scheduler and job process took."""
    from dsets import manifest, prepare

    catalogue(folder, count * SAMPLES)
    plan = prepare.plan(manifest.find("dots"), out=folder / "out")
    plan = replace(plan, packs=(replace(plan.packs[0], samples_per_shard=SAMPLES),))
    seen: list[tuple[float, float]] = []
    with ExitStack() as stack:
        scheduler, said = started(
            stack, "Scheduler at:", "scheduler", "--host", "127.0.0.1", "--port", "0"
        )
        address = said.split()[-1]
        for _ in range(WORKERS):
            arguments = ("worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard")
            started(stack, "Starting established connection", *arguments)
        done = 0

        def look(event: object) -> None:
            nonlocal done
            if isinstance(event, prepare.ShardEvent):
                done += 1
                if done % EVERY == 0:
                    seen.append((memory(scheduler.pid), memory(os.getpid())))

        before = processor(scheduler.pid), processor(os.getpid()), time.perf_counter()
        prepare.run(plan, scheduler=address, progress=look)
        after = processor(scheduler.pid), processor(os.getpid()), time.perf_counter()
    facts = {
        "tasks": count,
        "workers": WORKERS,
        "shards_a_task_for_14_million": task_shards,
        "seconds": round(after[2] - before[2], 1),
        "task_bytes": len(pickle.dumps(plan.packs[0])),
        "simulated": f"{SAMPLES} images of one pixel a shard, one shard a task",
    }
    first, last = seen[len(seen) // 10], seen[-1]
    return [
        line("scheduler: memory", "MiB", [one for one, _ in seen], facts),
        line(
            "scheduler: growth over the last 90 % of the tasks", "MiB", [last[0] - first[0]], facts
        ),
        line(
            "job process: growth over the last 90 % of the tasks",
            "MiB",
            [last[1] - first[1]],
            facts,
        ),
        line("scheduler: processor a task", "ms", [1e3 * (after[0] - before[0]) / count], facts),
        line("job process: processor a task", "ms", [1e3 * (after[1] - before[1]) / count], facts),
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--save", action="store_true", help="append to results/")
    arguments.add_argument("--tasks", type=int, help="instead of AlexNet's")
    given = arguments.parse_args()
    from dsets import manifest, prepare

    imagenet = manifest.find("imagenet")
    whole = replace(imagenet, splits=(replace(imagenet.splits[0], samples=PICTURES),))
    real = prepare.plan(whole, pipeline="alexnet").packs[0]
    print(f"{PICTURES:,} pictures: {real.shards:,} shards, {len(real.tasks):,} tasks")
    print(f"a task of it travels in {len(pickle.dumps(real)):,} bytes")
    with tempfile.TemporaryDirectory(prefix="dsets-") as name:
        folder = Path(name)
        os.environ["DSETS_HOME"] = str(folder / "home")
        os.environ["DSETS_MANIFESTS"] = str(folder / "manifests")
        (folder / "manifests").mkdir()
        lines = tasks(folder, given.tasks or len(real.tasks), len(real.tasks[0]))
    for entry in lines:
        print(f"{entry['what']:60} {entry['median']:8.2f} {entry['unit']}", end="")
        print(f"  ({entry['min']:.2f} … {entry['max']:.2f})" if entry["n"] > 1 else "")
    if given.save:
        print("written to", append("prepare_scale", lines).name)


if __name__ == "__main__":
    main()
