"""W2b from a data set larger than memory, side by side: each process has its own memory limit.

    sudo python benchmarks/stream_larger.py [--peers PYTHON] [--memory 2] [--images 30000] [--save]

Every contestant of ``stream_raw.py`` runs in a memory control group of its own (Linux, version 1 or
2, so it needs the right to make one) that counts the page cache as well: whoever reads more than
the limit must drop what it read before. The first turn fills the caches and is not counted. The
disk's own rate is that of ``stream_cold.py``: past the page cache, two threads, 8 MiB at a time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import record
from stream_cold import direct
from stream_raw import WORKLOADS, prepare, report, start, take_turns

from dsets import bench

GROUPS = Path("/sys/fs/cgroup")
#: Where groups are made, and what limits them: version 1, then version 2.
VERSIONS = (("memory", "memory.limit_in_bytes"), ("", "memory.max"))
PEERS = tuple(name for name in WORKLOADS["W2b"] if name != "ffcv")


@contextmanager
def group(name: str, limit: int) -> Iterator[Path]:
    """A control group of at most ``limit`` bytes; the file that takes its processes' numbers."""
    for below, setting in VERSIONS:
        path = GROUPS / below / f"dsets-benchmark-{name}"
        try:
            path.mkdir(exist_ok=True)
            (path / setting).write_text(str(limit))
        except OSError:
            continue
        yield path / "cgroup.procs"
        for _ in range(50):  # its processes take a moment to end
            try:
                path.rmdir()
                return
            except OSError:
                time.sleep(0.1)
        return
    raise SystemExit(f"cannot make a memory control group below {GROUPS}: run this as root")


def begin(
    name: str, folder: Path, peers: str | None, groups: dict[str, Path]
) -> subprocess.Popen[str]:
    """The contestant, moved into its group before it has read anything."""
    process = start(name, "W2b", folder, peers)
    groups[name].write_text(str(process.pid))
    return process


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", metavar="PYTHON", help="a Python with torch and DALI")
    parser.add_argument("--images", type=int, default=30_000, help="of 256²")
    parser.add_argument("--memory", type=float, default=2.0, help="GiB for each contestant")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a turn")
    parser.add_argument("--folder", type=Path, help="keep the images here, for the next run")
    parser.add_argument("--save", action="store_true", help="append to results/stream.jsonl")
    options = parser.parse_args()
    limit = int(options.memory * 2**30)
    names = ["dsets", *(PEERS if options.peers else ())]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "pack-256" / "index.json").exists():
            prepare(folder, 256, options.images, "CHW")
        shards = sorted((folder / "pack-256").glob("*.h5"))
        bench.drop([*shards, *folder.glob("images-256.*")])
        with ExitStack() as stack:
            groups = {name: stack.enter_context(group(name, limit)) for name in names}
            begun = partial(begin, folder=folder, peers=options.peers, groups=groups)
            taken, known = take_turns(names, begun, options.rounds + 1, options.seconds)
        taken = {name: values[1:] for name, values in taken.items()}
        taken["disk"], known["disk"] = [], {}
        for _ in range(options.rounds):
            clock = time.perf_counter()
            size = sum(map(direct, shards))
            taken["disk"].append(size / (time.perf_counter() - clock) / (256 * 256 * 3))
        conditions = {"images": options.images, "limit_gib": options.memory}
        lines = report("W2b larger than memory,", taken, known, conditions, ["disk"])
    if options.save:
        record.append("stream", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
