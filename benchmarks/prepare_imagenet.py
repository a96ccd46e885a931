"""W1: ImageNet's pictures → 256 x 256 RGB in packs, side by side with other tools.

    python benchmarks/prepare_imagenet.py TRAIN_TAR --peers PYTHON [--save]

TRAIN_TAR is ILSVRC2012_img_train.tar or a part of it. PYTHON is the interpreter of an environment
with what requirements-peers.txt lists; without it only dsets and the bare decoder are measured.

The first --pictures of the archive are taken --copies times, under other names. In every round
each contestant (peers/*.py) runs once, in a process of its own; odd rounds go backwards. Its clock
starts after its imports and stops when everything is written and closed. A line has the images/s;
`cpu_ms` the processor time an image of its processes by the same clock, which tells more on a busy
machine (FFCV's workers are not in it); `ratio` the median over the rounds of its rate by that of
each other in the same round. The PSNR is that of dsets' pixels against Pillow's own, picture by
picture: median and 5th percentile.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from operator import truediv
from pathlib import Path
from typing import Any

import numpy as np
import record

SCRIPT = Path(sys.executable).parent / "dsets"
PEERS = Path(__file__).parent / "peers"
DECODER = "decode_only"
COPY = 10**6  # added to the numbers of a copy
RIVALS = ("webdataset_tar", "img2dataset_files", "mosaicml_mds", "ffcv_beton", "dali_tfrecord")
OURS = {
    "dsets fast": ("native", "fast"),
    "dsets exact": ("native", "exact"),
    "dsets without libjpeg": ("pillow", "fast"),
    "dsets portable": ("portable", "fast"),
}


def lay_out(archive: Path, folder: Path, pictures: int, copies: int) -> int:
    """Write the pictures as files of ``folder`` and as a tar of tars beside it; how many."""
    folder.mkdir()
    classes: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    taken = 0
    with tarfile.open(archive) as outer:
        for member in outer:
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                for picture in inner:
                    if taken < pictures:
                        data = inner.extractfile(picture).read()  # type: ignore[union-attr]
                        classes[member.name].append((picture.name, data))
                        taken += 1
    with tarfile.open(folder.with_name("ILSVRC2012_img_train.tar"), "w") as outer:
        for name, found in classes.items():
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as inner:
                for copy in range(copies):
                    for picture, data in found:
                        wnid, number = picture.removesuffix(".JPEG").split("_")
                        renamed = f"{wnid}_{int(number) + copy * COPY}.JPEG"
                        (folder / renamed).write_bytes(data)
                        _add(inner, renamed, data)
            _add(outer, name, buffer.getvalue())
    return taken * copies


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def adopt(folder: Path) -> None:
    """Make FOLDER.home a store that has adopted the archive, and index it, outside the clock."""
    environment = os.environ | {"DSETS_HOME": f"{folder}.home"}
    archive = str(folder.with_name("ILSVRC2012_img_train.tar"))
    subprocess.run(
        [str(SCRIPT), "adopt", "imagenet", archive, "--unverified", "--quiet"],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def run(name: str, python: str, folder: Path, shard_mib: int) -> tuple[float, float]:
    """Seconds by the contestant's own clock, and processor seconds of all its processes."""
    script = "dsets_prepare" if name in OURS else name
    more = [*OURS[name], str(shard_mib)] if name in OURS else []
    out = Path(tempfile.mkdtemp(dir=folder.parent))
    done = subprocess.run(
        [python, str(PEERS / f"{script}.py"), str(folder), str(out), *more],
        check=False,
        capture_output=True,
        text=True,
    )
    shutil.rmtree(out)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-800:]}")
    seconds, spent = done.stdout.split()[-2:]
    return float(seconds), float(spent)


def psnr(folder: Path, profile: str) -> dict[str, float]:
    """Of dsets' pixels against Pillow's, in dB; equal pixels count as 100."""
    sys.path.insert(0, str(PEERS))
    from pillow_crop import SIDE, crop, paths

    from dsets import codecs

    found = []
    first = [path for path in paths(str(folder)) if int(path[:-5].split("_")[-1]) < COPY]
    for path in first:
        ours = codecs.resized(
            Path(path).read_bytes(),
            lambda width, height: codecs.centre_crop(width, height, SIDE),
            codecs.profile(profile),
        )
        error = float(np.mean((ours.astype(float) - crop(path)) ** 2))
        found.append(min(100.0, 10 * np.log10(255**2 / error)) if error else 100.0)
    return {
        "psnr_median_db": round(statistics.median(found), 1),
        "psnr_5th_db": round(float(np.percentile(found, 5)), 1),
        "equal_to_pillow": round(sum(value == 100 for value in found) / len(found), 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--peers", help="python of the peers' environment")
    parser.add_argument("--only", nargs="*", help="these contestants")
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--copies", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shard-mib", type=int, default=64)
    parser.add_argument("--save", action="store_true", help="append to results/")
    options = parser.parse_args()

    names = [DECODER, *OURS, *(RIVALS if options.peers else ())]
    names = [name for name in names if not options.only or name in options.only]
    rates: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "pictures"
        count = lay_out(options.archive, folder, options.pictures, options.copies)
        adopt(folder)
        for number in range(options.rounds):
            for name in names if number % 2 == 0 else reversed(names):
                python = options.peers if name in RIVALS else sys.executable
                try:
                    seconds, spent = run(name, python, folder, options.shard_mib)
                except RuntimeError as error:
                    print(error, file=sys.stderr)
                    continue
                rates[name].append(count / seconds)
                cpu[name].append(spent / count * 1e3)
                took = f"{count / seconds:7.0f}/s {spent / count * 1e3:6.2f} ms of processor"
                print(f"round {number} {name:22} {took}", file=sys.stderr)
        quality = {name: psnr(folder, OURS[name][1]) for name in names if name in OURS}
    facts: dict[str, Any] = {
        "pictures": count,
        "different": options.pictures,
        "shard_mib": options.shard_mib,
        "peers": _versions(options.peers) if options.peers else {},
    }
    lines = []
    for name in names:
        if len(rates[name]) < options.rounds:
            continue
        ratios = {
            other: round(statistics.median(map(truediv, rates[name], rates[other])), 2)
            for other in names
            if other != name and len(rates[other]) == options.rounds and name in OURS
        }
        lines.append(
            record.line(
                f"W1 {name}",
                "images/s",
                rates[name],
                {
                    **facts,
                    "cpu_ms": round(statistics.median(cpu[name]), 3),
                    "ratio": ratios,
                    **quality.get(name, {}),
                },
            )
        )
    for line in lines:
        print(json.dumps(line))
    if options.save:
        record.append("prepare_imagenet", lines)
    return 0


def _versions(python: str) -> dict[str, str]:
    code = (
        "import importlib.metadata as m, json\n"
        "names = 'webdataset img2dataset mosaicml-streaming ffcv nvidia-dali-cuda130 pillow'\n"
        "have = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({n: have[n] for n in names.split() if n in have}))\n"
    )
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
