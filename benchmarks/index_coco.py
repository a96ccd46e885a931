"""What the index of a COCO split costs: memory beside the JSON's size, and time.

    python benchmarks/index_coco.py --megabytes 470 --rounds 3 --record

Makes instances_train2017.json of the size asked for, with as many images as train2017 and polygons
as long as theirs, in a zip; then makes the index in a fresh process each round and reads samples.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import record

IMAGES = 118_287


def make(folder: Path, megabytes: int) -> int:
    """The two zips; the JSON's size in bytes."""
    random = np.random.default_rng(0)
    pool = []
    for _ in range(5000):  # 5 to 80 corners
        corners = np.round(random.uniform(0, 480, 2 * random.integers(5, 80)), 2).tolist()
        pool.append(str(corners).replace(" ", ""))
    size = 0
    path = folder / "annotations_trainval2017.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("annotations/instances_train2017.json", "w", force_zip64=True) as file,
    ):

        def write(text: str) -> None:
            nonlocal size
            size += file.write(text.encode())

        write('{"info":{},"licenses":[],"images":[')
        for start in range(0, IMAGES, 1000):
            numbers = range(start, min(start + 1000, IMAGES))
            write(
                "," * bool(start)
                + ",".join(
                    f'{{"license":3,"file_name":"{n:012}.jpg","coco_url":"http://images.coco'
                    f'dataset.org/train2017/{n:012}.jpg","height":480,"width":640,"date_captur'
                    f'ed":"2013-11-14 11:18:45","flickr_url":"http://farm9.staticflickr.com/{n}'
                    f'.jpg","id":{n}}}'
                    for n in numbers
                )
            )
        write('],"categories":[{"supercategory":"person","id":1,"name":"person"}],"annotations":[')
        number = 0
        while size < megabytes * 1_000_000:
            parts = []
            for _ in range(1000):
                parts.append(
                    f'{{"segmentation":[{pool[number % len(pool)]}],"area":{number % 9999}.25,'
                    f'"iscrowd":0,"image_id":{number * 7919 % IMAGES},"bbox":[10.5,20.25,'
                    f'100.75,200.5],"category_id":1,"id":{number}}}'
                )
                number += 1
            write("," * (number > 1000) + ",".join(parts))
        write("]}")
    with zipfile.ZipFile(folder / "train2017.zip", "w", zipfile.ZIP_STORED) as archive:
        for n in range(IMAGES):
            archive.writestr(f"train2017/{n:012}.jpg", b"\xff\xd8\xff")
    return size


CHILD = """
import resource, sys, time
from pathlib import Path
from dsets import manifest
from dsets.manifest import Source
from dsets.readers import _coco_index, _coco_options
found = manifest.find("coco2017")
source = Source(found, found.split("train"), Path(sys.argv[1]))
split = source.split
options = {name: split.options[name] for name in ("images", "folder", "instances")}
from dataclasses import replace
source = replace(source, split=replace(split, options=options))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
index = _coco_index.opened(source, _coco_options.read(source))
spent = time.perf_counter() - start
print(spent, before * 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, len(index))
"""


def measure(folder: Path, home: Path) -> tuple[float, int, int]:
    """Seconds, and the process's greatest memory before and after, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)],
        env=os.environ | {"DSETS_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, before, after, rows = done.stdout.split()
    assert int(rows) == IMAGES
    return float(seconds), int(before), int(after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=470)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        begin = time.perf_counter()
        size = make(folder, given.megabytes)
        print(f"JSON of {size:,} bytes made in {time.perf_counter() - begin:.0f} s")
        made, opened, memory = [], [], []
        for number in range(given.rounds):
            home = folder / f"home{number}"
            seconds, _, peak = measure(folder, home)
            made.append(seconds)
            memory.append(peak / size)
            opened.append(measure(folder, home)[0])
            print(
                f"index {seconds:.1f} s, peak {peak / size:.2f} x JSON, reopened {opened[-1]:.2f} s"
            )
    facts = {"json_bytes": size, "images": IMAGES}
    lines = [
        record.line("coco index, memory beside the JSON", "ratio", memory, facts),
        record.line("coco index, made", "s", made, facts),
        record.line("coco index, opened again", "s", opened, facts),
    ]
    if given.record:
        record.append("index_coco", lines)


if __name__ == "__main__":
    main()
