"""What the index of ImageNet's training archive costs: 1,281,167 pictures in 1,000 inner tars.

    python benchmarks/index_imagenet.py [--rounds 3] [--folder DIR] [--save] [--whole [SHARE …]]

The archive is generated: the official number of classes, pictures and bytes (147.9 GB), the
headers written, the pictures holes. A file system keeps about 5 GB of that. Each measurement is a
process of its own: making the index with nothing in the page cache and again with the headers in
it, opening the stored one, the reader's table, and Python's tarfile listing the same members
(once). CPU is the whole process's, imports and threads included, the least of the rounds.

``--whole`` instead: the whole of ImageNet, 14,197,122 pictures in 21,841 inner tars, and a tenth of
it (or other shares: ``--whole 10``), once each, read as `imagenet21k`; also what the process of a
job does with the keys: all told apart, then handed out by shard. The pictures have 300 bytes here,
since a file system keeps a page for each header of a sparse one, 57 GB in all: memory and processor
time are those of so many members, but the disk's part is not that of the true archive, whose
headers lie 90 kB apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record

NAME = "ILSVRC2012_img_train.tar"
BLOCK, RECORD, SMALL = 512, 10240, 300
WHOLE = (21_841, 14_197_122)
LIMITS = {"index, headers in the page cache": 30.0}

PRELUDE = """
import json, resource, sys, time
from pathlib import Path
from dsets import manifest
from dsets.readers import _imagenet_index, _imagenet_options, imagenet
found = manifest.find(sys.argv[2])
source = manifest.Source(found, found.split("train"), Path(sys.argv[1]))
start = time.perf_counter()
"""
POSTLUDE = """
taken = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_SELF)
peak = used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
cpu = used.ru_utime + used.ru_stime
print(json.dumps({"seconds": taken, "cpu": cpu, "peak_mib": peak, "rows": rows}))
"""
INDEX = "rows = len(_imagenet_index.opened(source, _imagenet_options.read(source)))"
TABLE = "rows = len(imagenet.table(source))"
KEYS = """
from dataclasses import replace
from dsets import prepare
from dsets.prepare import keys
split = replace(source.split, samples=int(sys.argv[3]))
found, place = replace(found, splits=(split,)), Path(sys.argv[1])
plan = prepare.plan(found, pipeline="alexnet", out=place / "out", raw=place).packs[0]
keys.check(plan, place)
rows = sum(map(len, keys.by_shard(plan)))
"""
TARFILE = """
import tarfile
rows = 0
with tarfile.open(source.path("ILSVRC2012_img_train.tar")) as outer:
    for inner in outer:
        with tarfile.open(fileobj=outer.extractfile(inner)) as archive:
            rows += sum(1 for member in archive)
"""


def generate(path: Path, classes: tuple[str, ...], pictures: int, total: int) -> None:
    """A sparse tar of tars of exactly ``total`` bytes."""
    rng = np.random.default_rng(2012)
    counts = np.full(len(classes), 1300)
    short = rng.choice(len(classes), 105, replace=False)
    spare = 1300 * len(classes) - pictures
    counts[short] -= spare // len(short)
    counts[short[: spare % len(short)]] -= 1
    weights = rng.lognormal(0, 0.5, pictures)
    overhead = (BLOCK + RECORD) * len(classes) + 2 * BLOCK * pictures + RECORD
    sizes = (weights / weights.sum() * (total - overhead)).astype(np.int64)
    with path.open("wb") as file:
        offset, first = 0, 0
        for wnid, count in zip(classes, counts.tolist(), strict=True):
            mine = sizes[first : first + count].tolist()
            numbers = np.sort(rng.choice(30_000, count, replace=False)).tolist()
            bodies = sum(BLOCK + size + -size % BLOCK for size in mine)
            last = wnid == classes[-1]
            room = total - RECORD - offset - BLOCK if last else 0
            inner = room or bodies + 2 * BLOCK + -(bodies + 2 * BLOCK) % RECORD
            os.pwrite(file.fileno(), header(f"{wnid}.tar", inner), offset)
            at = offset + BLOCK
            for number, size in zip(numbers, mine, strict=True):
                os.pwrite(file.fileno(), header(f"{wnid}_{number}.JPEG", size), at)
                at += BLOCK + size + -size % BLOCK
            offset += BLOCK + inner
            first += count
        file.truncate(total)


def whole(path: Path, classes: int, pictures: int) -> None:
    """A tar of tars of small pictures, each of as many classes with as many of them."""
    body = b"\xff\xd8\xff\xe0".ljust(SMALL, b"?").ljust(BLOCK, b"\0")
    with path.open("wb") as file:
        for number in range(classes):
            wnid = f"n{10**6 + 37 * number:08d}"
            count = pictures * (number + 1) // classes - pictures * number // classes
            inner = bytearray()
            for picture in range(count):
                inner += header(f"{wnid}_{7 * picture}.JPEG", SMALL) + body
            inner += bytes(2 * BLOCK + -(len(inner) + 2 * BLOCK) % RECORD)
            file.write(header(f"{wnid}.tar", len(inner)) + inner)
        file.write(bytes(RECORD))


def header(name: str, size: int) -> bytes:
    octal = b"%011o\0" % size if size < 8 << 30 else (1 << 95 | size).to_bytes(12, "big")
    block = name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + octal
    block += b"11742402366\0" + b" " * 8 + b"0" + bytes(100) + b"ustar\x0000" + bytes(247)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def measured(
    code: str, folder: Path, dataset: str = "imagenet", pictures: int = 0
) -> dict[str, float]:
    command = [sys.executable, "-c", PRELUDE + code + POSTLUDE, str(folder), dataset]
    command.append(str(pictures))
    environment = {**os.environ, "DSETS_HOME": str(folder / "home")}
    run = subprocess.run(command, check=True, capture_output=True, env=environment, text=True)
    found: dict[str, float] = json.loads(run.stdout)
    return found


def rounds(folder: Path, count: int) -> Iterator[tuple[str, dict[str, float]]]:
    """One round after the other, so that a busy moment hits every contestant."""
    for number in range(count):
        with (folder / NAME).open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        forget(folder)
        yield "index, nothing in the page cache", measured(INDEX, folder)
        forget(folder)
        yield "index, headers in the page cache", measured(INDEX, folder)
        yield "open the stored index", measured(INDEX, folder)
        yield "table", measured(TABLE, folder)
        if not number:
            yield "tarfile, headers in the page cache", measured(TARFILE, folder)


def of_whole(place: Path | None, share: int) -> list[dict[str, Any]]:
    """One run with a ``share``-th of the whole: time, processor and memory of index and table."""
    classes, pictures = WHOLE[0] // share, WHOLE[1] // share
    lines = []
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        whole(folder / "winter21_whole.tar", classes, pictures)
        steps = {
            "index": INDEX,
            "open the stored index": INDEX,
            "table": TABLE,
            "keys of a job": KEYS,
        }
        for what, code in steps.items():
            result = measured(code, folder, "imagenet21k", pictures)
            if result["rows"] != pictures:
                raise SystemExit(f"{what}: {result['rows']} pictures, not {pictures}")
            facts = {
                "pictures": pictures,
                "cpu_s": round(result["cpu"], 3),
                "cpu_us_a_picture": round(1e6 * result["cpu"] / pictures, 2),
                "peak_mib": round(result["peak_mib"]),
                "simulated": f"pictures of {SMALL} bytes in {classes:,} inner tars",
            }
            if what == "index":
                kept = sum(path.stat().st_size for path in folder.glob("home/index/*/*"))
                facts["index_bytes_a_picture"] = round(kept / pictures, 2)
            lines.append(record.line(f"whole: {what}", "s", [result["seconds"]], facts))
            print(what, lines[-1]["median"], "s", facts, flush=True)
    return lines


def forget(folder: Path) -> None:
    for path in (folder / "home").glob("index/*/*"):
        path.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the archive may lie for the while")
    parser.add_argument("--save", action="store_true", help="append to results/")
    parser.add_argument(
        "--whole", type=int, nargs="*", metavar="SHARE", help="14 million small pictures"
    )
    options = parser.parse_args()
    if options.whole is not None:
        shares = options.whole or [10, 1]
        lines = [line for share in shares for line in of_whole(options.folder, share)]
        if options.save:
            record.append("index_imagenet", lines)
        return 0

    from dsets import manifest

    found = manifest.find("imagenet")
    classes = next(field.classes for field in found.fields if field.name == "label")
    pictures, total = found.split("train").samples, found.file(NAME).bytes or 0
    taken: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        generate(folder / NAME, classes, pictures, total)
        for what, result in rounds(folder, options.rounds):
            if result["rows"] != pictures:
                raise SystemExit(f"{what}: {result['rows']} pictures, not {pictures}")
            taken.setdefault(what, []).append(result)
    lines = []
    for what, results in taken.items():
        peak = round(max(result["peak_mib"] for result in results))
        cpu = round(min(result["cpu"] for result in results), 3)
        facts = {
            "pictures": pictures,
            "cpu_s": cpu,
            "peak_mib": peak,
            "limit": LIMITS.get(what),
        }
        seconds = [result["seconds"] for result in results]
        lines.append(record.line(what, "s", seconds, facts))
        entry = lines[-1]
        spread = f"{entry['min']:.3f} … {entry['max']:.3f}"
        print(f"{what:36} {entry['median']:8.3f} s   {spread}   CPU {cpu} s   peak {peak} MiB")
    if options.save:
        record.append("index_imagenet", lines)
    return int(any(entry["limit"] and entry["median"] > entry["limit"] for entry in lines))


if __name__ == "__main__":
    sys.exit(main())
