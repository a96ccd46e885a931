"""The index of Open Images' boxes: time and the process's own memory for a table of any size.

    python benchmarks/index_openimages.py --gigabytes 2.6 --record

The table is generated as V6 writes it (clicks and all, sorted by picture). The pictures lie in a
``.tar.gz`` as they are published, ``--pictures`` megabytes of bytes that deflate cannot shrink.
``peak`` is the greatest resident size; ``limit`` the RLIMIT_DATA under which the index was made and
pictures all over the archive were read.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import record

from dsets import manifest
from dsets.manifest import File, Source, Split

BOXES_A_PICTURE = 32  # 8 in the official table; a picture costs the generator more than a box
LIMIT = 700 << 20
ARCHIVE = "train_0.tar.gz"
READS = 200
_HEAD = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
    "IsDepiction,IsInside,XClick1X,XClick2X,XClick3X,XClick4X,XClick1Y,XClick2Y,XClick3Y,XClick4Y"
)


def generate(folder: Path, size: int, pictures: int) -> int:
    """A table of ``size`` bytes and ``pictures`` bytes of its pictures; how many boxes."""
    random = np.random.default_rng(0)
    mids = manifest.find("openimages-v6").splits[0].options["mids"]
    tails = []
    for _ in range(4096):
        x, y = np.sort(random.random(2)), np.sort(random.random(2))
        flags = ",".join(map(str, random.integers(-1, 2, 5)))
        tails.append(
            f",xclick,{mids[random.integers(len(mids))]},1,{x[0]:.7f},{x[1]:.7f},{y[0]:.7f},"
            f"{y[1]:.7f},{flags},{x[0]:.7f},{x[1]:.7f},{x[0]:.7f},{x[1]:.7f},{y[0]:.7f},{y[1]:.7f},"
            f"{y[0]:.7f},{y[1]:.7f}\n"
        )
    boxes = written = picture = 0
    each = int(pictures / (size / (BOXES_A_PICTURE * (17 + sum(map(len, tails)) / len(tails)))))
    noise = random.bytes(each + (1 << 20))
    with (
        (folder / "boxes.csv").open("w", buffering=1 << 22) as file,
        gzip.open(folder / ARCHIVE, "wb", compresslevel=1) as inside,
        tarfile.open(fileobj=inside, mode="w|") as archive,
    ):
        written += file.write(_HEAD + "\n")
        while written < size:
            key = f"{picture * 7919:016x}"
            info = tarfile.TarInfo(f"train_0/{key}.jpg")
            info.size, start = each, picture * 100_003 % (1 << 20)
            archive.addfile(info, io.BytesIO(noise[start : start + each]))
            for i in range(BOXES_A_PICTURE):
                written += file.write(key + tails[(picture * BOXES_A_PICTURE + i) % len(tails)])
            boxes += BOXES_A_PICTURE
            picture += 1
    return boxes


def source(folder: Path) -> Source:
    official = manifest.find("openimages-v6")
    options = {"images": [ARCHIVE], "boxes": "boxes.csv"}
    options |= {"mids": official.splits[0].options["mids"]}
    split = Split("train", 1, (ARCHIVE, "boxes.csv"), True, options)
    from dataclasses import replace

    files = (File(ARCHIVE), File("boxes.csv"))
    return Source(replace(official, files=files, splits=(split,)), split, folder)


def measure(folder: Path) -> None:
    """In a process of its own: make the index, then open it again."""
    from dsets.readers import _openimages_index, _openimages_options, openimages

    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    one = source(folder)
    options = _openimages_options.read(one)
    start = time.perf_counter()
    index = _openimages_index.opened(one, options)
    made = time.perf_counter() - start
    _openimages_index._OPEN.clear()
    start = time.perf_counter()
    boxes = len(_openimages_index.opened(one, options).columns["box.label"])
    again = time.perf_counter() - start
    start, rows = time.perf_counter(), np.linspace(0, len(index) - 1, READS).astype(int)
    for sample in openimages.samples(one, rows.tolist()):
        assert isinstance(sample.values["image"], bytes)
    read = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([made, again, read, peak, boxes, len(index)]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=0.2)
    parser.add_argument("--pictures", type=float, default=200, help="megabytes of them")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--measure", type=Path)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        boxes = generate(folder, int(given.gigabytes * 1e9), int(given.pictures * 1e6))
        size = (folder / "boxes.csv").stat().st_size
        done = subprocess.run(
            [sys.executable, __file__, "--measure", name],
            env=os.environ | {"DSETS_HOME": str(folder / "home")},
            stdout=subprocess.PIPE,
            check=True,
        )
        made, again, read, peak, found, pictures = json.loads(done.stdout)
        archive = (folder / ARCHIVE).stat().st_size
        kept = sum(path.stat().st_size for path in (folder / "home").rglob("*.columns"))
    if found != boxes:
        raise SystemExit(f"{found} boxes of {boxes}")
    facts = {
        "bytes": size,
        "archive": "tar.gz",
        "archive_bytes": archive,
        "boxes": boxes,
        "pictures": pictures,
        "limit_mib": LIMIT >> 20,
        "index_bytes": kept,
    }
    lines = [
        record.line("openimages index made", "s", [made], facts),
        record.line("openimages index opened", "s", [again], facts),
        record.line(f"openimages {READS} pictures all over the archive", "s", [read], facts),
        record.line("openimages index peak", "MiB", [peak], facts),
    ]
    for one in lines:
        print(one["what"], one["median"], one["unit"])
    print(facts)
    if given.record:
        record.append("index_openimages", lines)


if __name__ == "__main__":
    main()
