"""Streaming raw pixels, side by side with peers: workloads W2a, W2b, W2c and W4.

    python benchmarks/stream_raw.py [--peers PYTHON] [--only W2b …] [--layout CHW] [--save]

W2: images of 256², random crop of 224, mirror, batches of 256, page cache warm: as uint8 (W2a),
normalised float32 (W2b) and float16 (W2c). W4: 50,000 images of 32², pad 4 and crop, mirror,
float32, batches of 512. Pixels are noise, which raw storage does not mind. Contestants take turns,
forwards and backwards; every one reads each byte of each batch (``contestant.py``), two threads or
worker processes each. Two limits take part: ``memcpy`` of the shown bytes, which nobody reads, and
``reader``, which reads batches that lie there and makes none: no loader passes it here.
``--peers`` is a Python with torch and FFCV; those not there are left out.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import record
from contestant import MEAN, STD, batch_images, serve

from dsets.bench import memory, processor

HERE = Path(__file__).parent
WORKLOADS = {
    "W2a": ("dali", "dataloader", "ffcv"),
    "W2b": ("dali", "dataloader", "ffcv"),
    "W2c": ("dali", "dataloader", "ffcv"),
    "W4": ("dali", "torch", "ffcv"),
}
#: Of every contestant: threads or worker processes.
THREADS = 2
OURS = ("dsets", "dsets without extension")
LIMITS = ("memcpy", "reader")
#: Type, shape of a batch.
BATCHES: dict[str, tuple[str, tuple[int, ...]]] = {
    "W2a": ("uint8", (256, 224, 224, 3)),
    "W2b": ("float32", (256, 3, 224, 224)),
    "W2c": ("float16", (256, 3, 224, 224)),
    "W4": ("float32", (512, 3, 32, 32)),
}


def prepare(folder: Path, side: int, count: int, layout: str) -> None:
    """The same images as a pack and as an array for the peers."""
    from dsets import pack
    from dsets.field import Field

    random = np.random.default_rng(side)
    field = Field("image", "uint8", (side, side, 3), layout)
    array = np.lib.format.open_memmap(
        folder / f"images-{side}.npy", "w+", np.uint8, (count, side, side, 3)
    )
    (folder / f"pack-{side}").mkdir()
    shards: list[Any] = []
    keys = [f"train/{n:06d}" for n in range(count)]
    for first in range(0, count, step := max(1, (256 << 20) // (side * side * 3))):
        part = slice(first, min(first + step, count))
        array[part] = random.integers(0, 256, array[part].shape, np.uint8)
        path = folder / f"pack-{side}" / f"shard-{len(shards):05d}.h5"
        shards.append(pack.shard.write(path, [field], keys[part], {"image": array[part]}))
    pack.finish(
        folder / f"pack-{side}",
        split="train",
        fields=(field,),
        shards=shards,
        statistics=None,
        statistics_of=None,
        quarantine=(),
        samples_digest=pack.samples_digest(keys),
        provenance={},
    )


def dsets_batches(workload: str, folder: Path, native: bool) -> Iterator[Any]:
    from dsets import extension, stream, transforms
    from dsets.pack import Pack

    if not native:
        extension.native = None
    elif extension.native is None:
        raise SystemExit("the extension is not built")
    crop = transforms.PadCrop(4) if workload == "W4" else transforms.Crop(224)
    recipe: list[Any] = [crop, transforms.Flip()]
    if workload != "W2a":
        dtype = "float16" if workload == "W2c" else "float32"
        recipe.append(transforms.Normalise(MEAN, STD, dtype))
    pack = Pack.open(folder / f"pack-{32 if workload == 'W4' else 256}")
    size = 512 if workload == "W4" else 256
    batches = stream.batches(pack, size, transform=recipe, threads=THREADS)
    return batch_images(batches)


def memcpy(workload: str) -> Iterator[Any]:
    """Two threads copy a batch's shown pixels, as bytes; nobody reads the copy."""
    size = (512, 32 * 32 * 3) if workload == "W4" else (256, 224 * 224 * 3)
    pairs = [(np.ones(size, np.uint8), np.ones(size, np.uint8)) for _ in range(2)]
    while True:
        threads = [threading.Thread(target=np.copyto, args=(b, a)) for a, b in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yield np.broadcast_to(np.uint8(0), (2 * size[0], 1))


def lying_there(workload: str) -> Iterator[Any]:
    """As many batches as a stream of two threads has, again and again."""
    dtype, shape = BATCHES[workload]
    return cycle([np.ones(shape, dtype) for _ in range(4)])


def contestant(name: str, workload: str, folder: Path) -> None:
    if name == "memcpy":
        serve(memcpy(workload))
    elif name == "reader":
        serve(lying_there(workload))
    else:
        serve(dsets_batches(workload, folder, name == "dsets"))


def start(name: str, workload: str, folder: Path, peers: str | None) -> subprocess.Popen[str]:
    if name in (*OURS, *LIMITS):
        command = [sys.executable, __file__, "--contestant", name]
        command += ["--only", workload, "--folder", str(folder)]
    else:
        script = "stream_dali.py" if name == "dali" else "stream_peers.py"
        command = [str(peers), str(HERE / script), name, workload, str(folder)]
    return subprocess.Popen(command, stdin=-1, stdout=-1, text=True, bufsize=1)


def take_turns(
    names: Sequence[str],
    begin: Callable[[str], subprocess.Popen[str]],
    rounds: int,
    seconds: float,
) -> tuple[dict[str, list[float]], dict[str, dict[str, float]]]:
    """Samples a second of each contestant and round; until ready, memory at the end, and
    processor time, which is the better figure on a busy machine."""
    running: dict[str, subprocess.Popen[str]] = {}
    facts: dict[str, dict[str, float]] = {}
    taken: dict[str, list[float]] = {}
    spent: dict[str, list[float]] = {}
    try:
        for name in names:
            asked = time.perf_counter()
            process = running[name] = begin(name)
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                print(f"{name}: does not run here", file=sys.stderr)
                process.kill()
                del running[name]
            facts[name] = {"ready_s": round(time.perf_counter() - asked, 2)}
        for number in range(rounds):
            for name in list(running)[:: -1 if number % 2 else 1]:
                process = running[name]
                assert process.stdin is not None and process.stdout is not None
                before = processor(process.pid)
                process.stdin.write(f"{seconds}\n")
                rate, samples = map(float, process.stdout.readline().split())
                taken.setdefault(name, []).append(rate)
                spent.setdefault(name, []).append((processor(process.pid) - before) / samples)
        for name, process in running.items():
            facts[name]["memory_mb"] = memory(process.pid) // 1_000_000
            facts[name]["cpu_us"] = round(statistics.median(spent.get(name, [0])) * 1e6, 2)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return taken, facts


def report(
    workload: str,
    taken: dict[str, list[float]],
    known: dict[str, dict[str, float]],
    conditions: dict[str, Any],
    limits: Sequence[str] = LIMITS,
) -> list[dict[str, Any]]:
    """Print a line a contestant and return them, with ratios round by round."""
    peers = [name for name in taken if name not in (*OURS, *limits)]
    best = max(peers, key=lambda name: statistics.median(taken[name]), default=None)
    lines = []
    for name, values in taken.items():
        facts: dict[str, Any] = {**conditions, **known[name]}
        others = {"ratio_to_best_peer": best, **{f"ratio_to_{limit}": limit for limit in limits}}
        for label, other in others.items():
            if other and name != other:
                each = [a / b for a, b in zip(values, taken[other], strict=True)]
                facts[label.replace(" ", "_")] = round(statistics.median(each), 3)
        entry = record.line(f"{workload} {name}", "samples/s", values, facts)
        lines.append(entry)
        spread = f"{entry['min']:9.0f} … {entry['max']:9.0f}"
        ratios = " ".join(f"{k} {v}" for k, v in facts.items())
        print(f"{entry['what']:28} {entry['median']:9.0f}   {spread}   {ratios}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", metavar="PYTHON", help="a Python with torch and FFCV")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--layout", choices=("HWC", "CHW"), default="CHW")
    parser.add_argument("--images", type=int, default=5000, help="of 256²")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a round")
    parser.add_argument("--folder", type=Path, help="keep the images here, for the next run")
    parser.add_argument("--contestant", choices=(*OURS, *LIMITS), help=argparse.SUPPRESS)
    parser.add_argument("--save", action="store_true", help="append to results/stream.jsonl")
    options = parser.parse_args()
    if options.contestant:
        contestant(options.contestant, options.only[0], options.folder)
        return 0
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for side, count in ((256, options.images), (32, 50_000)):
            wanted = any((workload == "W4") == (side == 32) for workload in options.only)
            if wanted and not (folder / f"pack-{side}" / "index.json").exists():
                prepare(folder, side, count, options.layout)
        for workload in options.only:
            names = [*OURS, *LIMITS, *(WORKLOADS[workload] if options.peers else ())]
            begin = partial(start, workload=workload, folder=folder, peers=options.peers)
            conditions = {"layout": options.layout, "images": _images(workload, options.images)}
            taken, known = take_turns(names, begin, options.rounds, options.seconds)
            lines += report(workload, taken, known, conditions)
    if options.save:
        record.append("stream", lines)
    return 0


def _images(workload: str, of_256: int) -> int:
    return 50_000 if workload == "W4" else of_256


if __name__ == "__main__":
    sys.exit(main())
