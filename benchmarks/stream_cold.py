"""Streams that begin: a cold page cache, a cold process, and what ten epochs do to memory.

    python benchmarks/stream_cold.py [--peers PYTHON] [--folder FOLDER] [--rounds 5] [--save]

Workload W2b (``stream_raw.py``). **Cold**: a fresh process imports what it needs, its files are
dropped from the page cache, and the clock runs over one epoch. FFCV is left out: it compiles within
its first epoch (``stream_raw.py`` has the seconds until it is ready). DALI's pipeline is built
before its clock starts; our pack is opened within ours. In the same rounds the disk itself: the
same pack read past the page cache (O_DIRECT), two threads, 8 MiB at a time. Of 5,000 images
(``--images``), the 20 batches of the warm benchmarks, the beginning is a fifth. **First**:
from the start of a process to its first NumPy batch, page cache warm. **Memory**: beside the page
cache after each of ten epochs. **Demand**: how long a consumer of 80 % of the loader's rate waits,
with one thread and two.
"""

from __future__ import annotations

import argparse
import compileall
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import record
from contestant import MEAN, STD, read
from stream_raw import prepare

import dsets

HERE = Path(__file__).parent
PEERS = {"dali": "stream_dali", "dataloader": "stream_peers"}
BLOCK = 8 << 20


def recipe() -> list[Any]:
    from dsets import transforms

    return [transforms.Crop(224), transforms.Flip(), transforms.Normalise(MEAN, STD)]


def files(name: str, folder: Path) -> list[Path]:
    """What a contestant reads."""
    if name in ("dsets", "disk"):
        return sorted((folder / "pack-256").glob("*.h5"))
    suffix = {"dali": "tfrecord", "dataloader": "npy"}[name]
    return [folder / f"images-256.{suffix}"]


def one_epoch(name: str, folder: Path) -> None:
    """In a fresh process: drop the files, stream an epoch, print samples a second."""
    import numpy as np

    from dsets import bench

    count = 0
    if name == "disk":
        bench.drop(files(name, folder))
        start = time.perf_counter()
        size = sum(map(direct, files(name, folder)))
        print(size / (time.perf_counter() - start) / (256 * 256 * 3))
        return
    if name == "dsets":
        from dsets import stream
        from dsets.pack import Pack

        bench.drop(files(name, folder))
        start = time.perf_counter()
        pack = Pack.open(folder / "pack-256")
        for batch in stream.batches(pack, 256, transform=recipe(), threads=2):
            read(np.asarray(batch["image"]))
            count += len(batch.index)
        print(count / (time.perf_counter() - start))


def direct(path: Path) -> int:
    """Bytes of a file read past the page cache, by two threads in turn."""
    done = [0, 0]

    def half(which: int) -> None:
        file = os.open(path, os.O_RDONLY | os.O_DIRECT)
        with mmap.mmap(-1, BLOCK) as buffer:
            try:
                at = which * BLOCK
                while got := os.preadv(file, [buffer], at):
                    done[which] += got
                    at += 2 * BLOCK
                    if got < BLOCK:
                        break
            finally:
                os.close(file)

    threads = [threading.Thread(target=half, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)


#: A peer's epoch, in its own Python: import first, then wait for the word, then stream.
PEER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
import numpy as np
import {module} as peers
from contestant import read
batches = peers.{function}("W2b", Path({folder!r}))
print("ready", flush=True)
for line in sys.stdin:
    start, count = time.perf_counter(), 0
    while count < {images}:
        batch = np.asarray(next(batches))
        read(batch)
        count += len(batch)
    print(count / (time.perf_counter() - start), flush=True)
"""


def cold(name: str, folder: Path, peers: str | None, images: int) -> float | None:
    """Samples a second of one cold epoch in a fresh process; None where it does not run."""
    if name in ("dsets", "disk"):
        command = [sys.executable, __file__, "--epoch", name, "--folder", str(folder)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    from dsets import bench

    code = PEER.format(
        here=str(HERE), module=PEERS[name], function=name, folder=str(folder), images=images
    )
    process = subprocess.Popen(
        [str(peers), "-c", code], stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        if process.stdout.readline() != "ready\n":
            return None
        bench.drop(files(name, folder))
        process.stdin.write("go\n")
        process.stdin.flush()
        return float(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


FIRST = """
from dsets import stream, transforms
from dsets.pack import Pack
recipe = [transforms.Crop(224), transforms.Flip(), transforms.Normalise({mean}, {std})]
batch = next(iter(stream.batches(Pack.open({pack!r}), 256, transform=recipe, threads=2)))
assert batch["image"].shape == (256, 3, 224, 224)
print("first", flush=True)
"""
FIRST_OF_PEER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import numpy as np
import {module} as peers
assert len(np.asarray(next(peers.{function}("W2b", Path({folder!r}))))) == 256
print("first", flush=True)
"""


def first(name: str, folder: Path, peers: str | None) -> float | None:
    """Seconds from the start of a process to its first batch."""
    if name == "dsets":
        code = FIRST.format(pack=str(folder / "pack-256"), mean=MEAN, std=STD)
        command = [sys.executable, "-c", code]
    else:
        code = FIRST_OF_PEER.format(
            here=str(HERE), module=PEERS[name], function=name, folder=str(folder)
        )
        command = [str(peers), "-c", code]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=-1, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        told = process.stdout.readline() == "first\n"
        return time.perf_counter() - begin if told else None
    finally:
        process.kill()
        process.wait()


def ten_epochs(folder: Path) -> list[float]:
    """MB beside the page cache after each epoch, in this process."""
    from dsets import bench, stream
    from dsets.pack import Pack

    held = []
    pack = Pack.open(folder / "pack-256")
    with stream.batches(pack, 256, transform=recipe(), threads=2) as batches:
        for _ in range(10):
            for batch in batches:
                read(batch["image"])
            held.append(bench.memory(os.getpid()) / 1e6)
    return held


def demand(folder: Path, threads: int) -> tuple[float, float]:
    """Rate of the loader alone, and the share that a consumer of 80 % of it waits."""
    from dsets import bench
    from dsets.pack import Pack

    report = bench.measure(
        Pack.open(folder / "pack-256"), 256, recipe(), seconds=1.0, threads=threads
    )
    return report.rate, report.waiting_at_80 or 0.0


def tell(what: str, unit: str, values: list[float], **facts: Any) -> dict[str, Any]:
    entry = record.line(what, unit, values, facts)
    spread = f"{entry['min']:.4g} … {entry['max']:.4g}"
    print(f"{what:36} {entry['median']:.4g} {unit}   {spread}   {json.dumps(facts)}", flush=True)
    return entry


def side_by_side(taken: dict[str, list[float]], word: str, unit: str) -> list[dict[str, Any]]:
    """Lines with the ratio to the best peer and to the disk, medians over rounds."""
    best = max if unit == "samples/s" else min
    peers = [name for name in taken if name in PEERS]
    chosen = best(peers, key=lambda name: statistics.median(taken[name]), default=None)
    lines = []
    for name, values in taken.items():
        facts = {}
        for label, other in (("ratio_to_best_peer", chosen), ("ratio_to_disk", "disk")):
            if other in taken and other != name:
                each = [a / b for a, b in zip(values, taken[other], strict=True)]
                facts[label] = round(statistics.median(each), 3)
        lines.append(tell(f"{word} {name}", unit, values, **facts))
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", metavar="PYTHON", help="a Python with torch and DALI")
    parser.add_argument("--names", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="keep the images here, for the next run")
    parser.add_argument("--epoch", help=argparse.SUPPRESS)
    parser.add_argument("--save", action="store_true", help="append to results/stream.jsonl")
    options = parser.parse_args()
    if options.epoch:
        one_epoch(options.epoch, options.folder)
        return 0
    # pip compiles what it installs; an editable installation is compiled when it first runs, unless
    # this variable says never, which would make every start of ours compile every module again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(dsets.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "pack-256" / "index.json").exists():
            prepare(folder, 256, options.images, "CHW")
        peers = [name for name in options.names if options.peers]
        colds: dict[str, list[float]] = {}
        firsts: dict[str, list[float]] = {}
        for number in range(options.rounds):
            turn = ["disk", "dsets", *peers][:: -1 if number % 2 else 1]
            for name in turn:
                if (rate := cold(name, folder, options.peers, options.images)) is not None:
                    colds.setdefault(name, []).append(rate)
        for _ in range(options.rounds):
            for name in ("dsets", *peers):
                if (seconds := first(name, folder, options.peers)) is not None:
                    firsts.setdefault(name, []).append(seconds)
        lines = side_by_side(colds, f"W2b cold, {options.images:,} images,", "samples/s")
        lines += side_by_side(firsts, "W2b first batch", "s")
        lines.append(tell("W2b memory, ten epochs", "MB", ten_epochs(folder), batch_mb=154.1))
        for threads in (1, 2):
            found = [demand(folder, threads) for _ in range(options.rounds)]
            rates, waits = (list(values) for values in zip(*found, strict=True))
            lines.append(tell(f"W2b loader alone, threads: {threads}", "samples/s", rates))
            what = f"W2b consumer of 80 % waits, threads: {threads}"
            lines.append(tell(what, "of its time", waits))
    if options.save:
        record.append("stream", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
