"""What a billion samples cost: `scale.py [--samples 1000000000] [--rounds 5] [--save]`.

Measured, each in a process of its own: the order of a stream over so many samples, in global and in
window order (single positions, whole batches, a rank's share), with the memory that it took; and
index.json of packs with 14 million and with so many samples: its bytes, and what opening it takes.
Those indices are generated, with true fields, digests and places and no shards beside them; an
index may have 32 MiB, so a billion samples ask for larger shards. Simulated: the shards that an
epoch of 14 million samples asks an object store for, in either order, with a cache of so many
shards (the one used longest ago goes).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import tempfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

from record import append, line

from dsets.field import Field
from dsets.pack import extents, index
from dsets.pack.schema import ALIGNMENT, Extent, Index, Shard
from dsets.pipelines.alexnet_jpeg import VARYING_BYTES
from dsets.stream.order import Order
from dsets.stream.state import Key
from dsets.stream.window import Window

SAMPLES = 1_000_000_000
WHOLE = 14_197_122
BATCH = 4096
SHARD = 256 << 20
LARGE = {"pixels": 16 << 30, "JPEG": 4 << 30}  # of a billion samples
KEY = 20  # bytes of a sample's name, about
TOLD = (
    *(
        "samples",
        "pack",
        "shard_bytes",
        "shards",
        "cache_shards",
        "peak_mib",
        "grown_mib",
        "index_bytes",
    ),
    *("index_bytes_a_sample", "opening_peak_mib", "fetches_an_epoch", "tb_an_epoch"),
)
#: Bytes a sample takes in a pack: pixels of 256 x 256, and what the pipeline says of their JPEG.
PACKS = {"pixels": 256 * 256 * 3, "JPEG": VARYING_BYTES}
#: Caches of an epoch's simulation, in shards, and the batches of global order that are simulated.
CACHES = (100, 200, 1000)
GLOBAL_BATCHES = 200

#: Not getrusage's: a process begins with the peak of the one that started it.
PEAK = """
import json, sys, time
from pathlib import Path
def peak():
    for entry in Path("/proc/self/status").read_text().splitlines():
        if entry.startswith("VmHWM:"):
            return int(entry.split()[1]) / 1024
    raise RuntimeError("no peak of memory")
"""
PRELUDE = """
import numpy as np
from dsets.stream.order import Order
from dsets.stream.state import Key
from dsets.stream.window import Window
n, batch, ranks = (int(word) for word in sys.argv[1:4])
shuffle = Window() if sys.argv[4] == "window" else True
order = Order(n, Key("0" * 64, 1, shuffle), batch, rank=0, ranks=ranks)
rng = np.random.default_rng(1)
starts = rng.integers(0, n // batch, 256) * batch
singles = [np.array([p]) for p in rng.integers(0, n, 256)]
order.samples(0, order.rows(0).positions)
before = peak()
"""
DRAW = """
start = time.process_time()
drawn = 0
for epoch, p in enumerate(starts.tolist()):
    drawn += len(order.samples(epoch, order.rows(p).positions))
taken = time.process_time() - start
print(json.dumps({"ns": 1e9 * taken / drawn, "grown": peak() - before, "peak": peak()}))
"""
ONE = """
start = time.process_time()
for epoch, p in enumerate(singles):
    order.samples(epoch, p)
taken = time.process_time() - start
print(json.dumps({"ns": 1e9 * taken / len(singles), "grown": peak() - before, "peak": peak()}))
"""
OPEN = """
from dsets.pack import index
start = time.process_time()
found = index.read(Path(sys.argv[1]))
taken = time.process_time() - start
print(json.dumps({"s": taken, "shards": len(found.shards), "peak": peak()}))
"""


def ran(code: str, *words: object) -> dict[str, float]:
    command = [sys.executable, "-c", PEAK + code, *map(str, words)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(run.stdout)
    return found


def orders(n: int, rounds: int) -> list[dict[str, Any]]:
    """Processor time for a sample, and memory, of each kind of drawing."""
    lines = []
    for shuffle in ("global", "window"):
        for what, code, ranks in (
            ("one position", ONE, 1),
            (f"a batch of {BATCH}", DRAW, 1),
            (f"a rank's share of it, of {64}", DRAW, 64),
        ):
            found = [ran(PRELUDE + code, n, BATCH, ranks, shuffle) for _ in range(rounds)]
            facts = {
                "samples": n,
                "peak_mib": round(max(one["peak"] for one in found), 1),
                "grown_mib": round(max(one["grown"] for one in found), 2),
            }
            entry = line(f"{shuffle} order: {what}", "ns", [one["ns"] for one in found], facts)
            lines.append(entry)
    return lines


def placed(shard: Shard, fields: tuple[Field, ...]) -> Shard:
    """A shard with every dataset that it must have, one behind the other."""
    found, at = {}, 0
    variable = shard.samples * PACKS["JPEG"]
    for name, (dtype, shape) in extents.of_shard(shard, fields).items():
        size = variable if name == "image" else shard.samples * KEY
        whole = tuple(size if one is None else one for one in shape)
        extent = Extent(at, math.prod(whole) * extents.SIZES[dtype], dtype, whole)
        found[name] = extent
        at += extent.length + -extent.length % ALIGNMENT
    return replace(shard, bytes=at, datasets=found)


def indices(folder: Path, samples: int, kind: str, shard_bytes: int) -> list[dict[str, Any]]:
    """The size of index.json, and what opening it takes, of a pack with so many samples."""
    each = shard_bytes // PACKS[kind]
    shape = (256, 256, 3) if kind == "pixels" else (None,)
    fields = (Field("image", "uint8", shape), Field("label", "int64", ()))
    shards = []
    for number, first in enumerate(range(0, samples, each)):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        count = min(each, samples - first)
        shards.append(placed(Shard(f"shard-{number:05}.h5", count, 0, digest, {}), fields))
    made = Index("train", fields, tuple(shards), None, None, (), "0" * 64, {})
    path = folder / f"{kind}-{samples}"
    path.mkdir()
    index.write(path, made)
    size = (path / "index.json").stat().st_size
    opened = ran(OPEN, path)
    facts = {
        "samples": samples,
        "pack": kind,
        "shard_bytes": shard_bytes,
        "shards": len(shards),
        "index_bytes": size,
        "index_bytes_a_sample": round(size / samples, 4),
        "opening_peak_mib": round(opened["peak"]),
    }
    return [
        line("index.json: bytes a shard", "bytes", [size / len(shards)], facts),
        line("index.json: opening", "s", [opened["s"]], facts),
    ]


def fetched(shuffle: bool | Window, kind: str, cache: int, batches: int | None) -> dict[str, Any]:
    """How often a shard is fetched in an epoch (or its first ``batches``), with a cache of some."""
    order = Order(WHOLE, Key("0" * 64, 1, shuffle), BATCH)
    each = SHARD // PACKS[kind]
    shards = -(-WHOLE // each)
    kept: OrderedDict[int, None] = OrderedDict()
    fetches = 0
    starts = list(range(0, WHOLE, BATCH))[:batches]
    for start in starts:
        wanted = order.samples(0, order.rows(start).positions) // each
        for shard in dict.fromkeys(wanted.tolist()):
            if shard in kept:
                kept.move_to_end(shard)
                continue
            fetches += 1
            kept[shard] = None
            if len(kept) > cache:
                kept.popitem(last=False)
    whole = fetches * len(range(0, WHOLE, BATCH)) / len(starts)
    facts = {
        "samples": WHOLE,
        "pack": kind,
        "shards": shards,
        "cache_shards": cache,
        "simulated": f"the order of {len(starts):,} batches of {BATCH}",
        "fetches_an_epoch": round(whole),
        "tb_an_epoch": round(whole * SHARD / 1e12, 2),
    }
    name = "window" if shuffle is not True else "global"
    return line(f"{name} order: fetches a shard and epoch", "", [whole / shards], facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="append to results/")
    given = parser.parse_args()
    lines = orders(given.samples, given.rounds)
    with tempfile.TemporaryDirectory(prefix="dsets-") as name:
        for kind in PACKS:
            lines += indices(Path(name), WHOLE, kind, SHARD)
            lines += indices(Path(name), given.samples, kind, LARGE[kind])
    for kind in PACKS:
        for cache in CACHES:
            lines.append(fetched(Window(), kind, cache, None))
            lines.append(fetched(True, kind, cache, GLOBAL_BATCHES))
    for entry in lines:
        told = {key: entry[key] for key in TOLD if key in entry}
        print(f"{entry['what']:44} {entry['median']:12.4g} {entry['unit']:6} {told}")
    if given.save:
        print("written to", append("scale", lines).name)


if __name__ == "__main__":
    main()
