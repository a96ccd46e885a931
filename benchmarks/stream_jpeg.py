"""Streaming JPEG packs, side by side with peers: workload W3.

    python benchmarks/stream_jpeg.py TRAIN_TAR [--peers PYTHON] [--save]

TRAIN_TAR is ILSVRC2012_img_train.tar or a part of it. Its first --pictures become JPEGs of 256²,
quality 90, 4:2:0, taken --copies times. Random resized crop of 224 (area 0.08 … 1, aspect ratio
3/4 … 4/3), mirror, normalised float32 (3, 224, 224), batches of 256, page cache warm. Contestants
take turns, forwards and backwards; every one reads each byte of each batch (``contestant.py``), two
threads or worker processes each. The limit is decoding whole images by the extension, no more, in
two threads too.

The PSNR, of 200 boxes against Pillow's decode, crop and antialiased bilinear resize, is that of
the pixels before normalisation; peers that choose their boxes themselves are given ours for it.
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record
from contestant import MEAN, STD, batch_images, serve
from PIL import Image
from stream_raw import THREADS, report, take_turns

HERE = Path(__file__).parent
OURS = ("dsets", "dsets without extension")
LIMIT = "decode only"
PEERS = ("ffcv", "dali", "dataloader")
BATCH, SIDE, SIZE = 256, 256, 224
BOXES = 200


def prepare(archive: Path, folder: Path, pictures: int, copies: int) -> None:
    """The same JPEGs as a pack, as one flat file with bounds, and as a tar."""
    from dsets import codecs, pack
    from dsets.field import Field

    found: list[bytes] = []
    with tarfile.open(archive) as outer:
        for member in outer:
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                for picture in inner:
                    if len(found) < pictures:
                        data = inner.extractfile(picture).read()  # type: ignore[union-attr]
                        pixels = codecs.resized(data, _square, codecs.profile("exact"))
                        found.append(codecs.encode_jpeg(pixels, 90))
    images = found * copies
    np.save(folder / "bytes.npy", np.frombuffer(b"".join(images), np.uint8))
    np.save(folder / "bounds.npy", np.cumsum([0, *map(len, images)]).astype(np.uint64))
    with tarfile.open(folder / "images.tar", "w") as target:
        for number, data in enumerate(images):
            entry = tarfile.TarInfo(f"{number:06d}.jpg")
            entry.size = len(data)
            target.addfile(entry, io.BytesIO(data))
    field = Field("image", "uint8", (None,))
    keys = [f"train/{number:06d}" for number in range(len(images))]
    path = folder / "pack" / "shard-00000.h5"
    path.parent.mkdir()
    values = [np.frombuffer(data, np.uint8) for data in images]
    shards = [pack.shard.write(path, [field], keys, {"image": values})]
    pack.finish(
        path.parent,
        split="train",
        fields=(field,),
        shards=shards,
        statistics=None,
        statistics_of=None,
        quarantine=(),
        samples_digest=pack.samples_digest(keys),
        provenance={},
    )


def _square(width: int, height: int) -> Any:
    from dsets import codecs

    return codecs.centre_crop(width, height, SIDE)


def dsets_batches(folder: Path, native: bool) -> Iterator[Any]:
    from dsets import extension, stream, transforms
    from dsets.pack import Pack

    if not native:
        extension.native, extension.jpeg = None, False
    elif not extension.jpeg:
        raise SystemExit("the extension's JPEG half is not built")
    recipe = [
        transforms.RandomResizedCrop(SIZE),
        transforms.Flip(),
        transforms.Normalise(MEAN, STD),
    ]
    batches = stream.batches(Pack.open(folder / "pack"), BATCH, transform=recipe, threads=THREADS)
    return batch_images(batches)


def decoded(folder: Path) -> Iterator[Any]:
    """Whole images, decoded by as many threads as the contestants have; nobody reads them."""
    from dsets import codecs, extension

    data = np.load(folder / "bytes.npy", mmap_mode="r")
    bounds = np.load(folder / "bounds.npy")
    rows = extension.native.strings([data], [bounds])
    parts = THREADS
    count = BATCH // parts
    boxes = np.tile(np.array([0, 0, SIDE, SIDE], np.int64), (count, 1))
    outs = [np.zeros((count, SIDE, SIDE, 3), np.uint8) for _ in range(parts)]
    random = np.random.default_rng(0)
    plain = (0, None, None, False)
    while True:
        threads = []
        for out in outs:
            index = random.integers(0, len(bounds) - 1, count)
            status = np.zeros(count, np.uint8)
            size = (SIDE, SIDE)
            arguments = (rows, index, boxes, None, out, size, plain, codecs.MAX_PIXELS, status)
            threads.append(threading.Thread(target=extension.native.jpeg_rows, args=arguments))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yield np.zeros((count * parts, 1), np.uint8)


def contestant(name: str, folder: Path) -> None:
    serve(decoded(folder) if name == LIMIT else dsets_batches(folder, name == "dsets"))


def draw_boxes(folder: Path) -> None:
    """Some images' boxes and Pillow's own pixels of them, for the PSNR."""
    from dsets.transforms import RandomResizedCrop
    from dsets.transforms.random import Draws

    data, bounds = np.load(folder / "bytes.npy"), np.load(folder / "bounds.npy").astype(np.int64)
    draws = Draws(0, 0, np.arange(BOXES, dtype=np.uint64))
    found = RandomResizedCrop(SIZE).boxes(draws, SIDE, SIDE)
    boxes = np.stack([found.top, found.left, found.height, found.width], 1)
    pixels = np.empty((BOXES, SIZE, SIZE, 3), np.uint8)
    for row, (top, left, height, width) in enumerate(boxes.tolist()):
        number = row % (len(bounds) - 1)
        image = Image.open(io.BytesIO(data[bounds[number] : bounds[number + 1]].tobytes()))
        box = image.convert("RGB").crop((left, top, left + width, top + height))
        pixels[row] = np.asarray(box.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    np.save(folder / "boxes.npy", boxes)
    np.save(folder / "pillow.npy", pixels)


def psnr(folder: Path, name: str) -> float | str:
    """Median over the boxes of the decibels between a contestant's pixels and Pillow's."""
    expected = np.load(folder / "pillow.npy").astype(np.float64)
    error = ((np.load(folder / f"shown-{name}.npy") - expected) ** 2).mean((1, 2, 3))
    return "equal" if not error.any() else round(float(np.median(10 * np.log10(255**2 / error))), 1)


def our_pixels(folder: Path, name: str) -> None:
    from dsets import codecs, extension

    data, bounds = np.load(folder / "bytes.npy"), np.load(folder / "bounds.npy")
    boxes = np.load(folder / "boxes.npy")
    shown = np.empty((BOXES, SIZE, SIZE, 3), np.uint8)
    index = np.arange(BOXES) % (len(bounds) - 1)
    if name == "dsets":
        rows, status = extension.native.strings([data], [bounds]), np.zeros(BOXES, np.uint8)
        arguments = (rows, index, boxes, None, shown, (SIZE, SIZE), (0, None, None, False))
        extension.native.jpeg_rows(*arguments, codecs.MAX_PIXELS, status)
    else:
        for row, number in enumerate(index.tolist()):
            image = data[int(bounds[number]) : int(bounds[number + 1])].tobytes()
            shown[row] = codecs.window(image, codecs.Box(*boxes[row].tolist()), (SIZE, SIZE))
    np.save(folder / f"shown-{name}.npy", shown)


def compare(folder: Path, names: list[str], peers: str | None) -> dict[str, float | str]:
    draw_boxes(folder)
    found: dict[str, float | str] = {}
    for name in names:
        if name in OURS:
            our_pixels(folder, name)
        elif name in PEERS:
            script = str(HERE / "stream_jpeg_peers.py")
            subprocess.run([str(peers), script, name, str(folder), "pixels"], check=False)
        if (folder / f"shown-{name}.npy").exists():
            found[name] = psnr(folder, name)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, nargs="?", metavar="TRAIN_TAR")
    parser.add_argument("--peers", metavar="PYTHON", help="a Python with torch, FFCV, DALI")
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a round")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--contestant", choices=(*OURS, LIMIT), help=argparse.SUPPRESS)
    parser.add_argument("--save", action="store_true", help="append to results/stream_jpeg.jsonl")
    options = parser.parse_args()
    if options.contestant:
        contestant(options.contestant, options.folder)
        return 0
    if options.archive is None:
        parser.error("TRAIN_TAR is missing")
    names = [*OURS, LIMIT, *(PEERS if options.peers else ())]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(options.archive, folder, options.pictures, options.copies)

        def begin(name: str) -> subprocess.Popen[str]:
            if name in PEERS:
                command = [options.peers, str(HERE / "stream_jpeg_peers.py"), name, str(folder)]
            else:
                command = [sys.executable, __file__, "--contestant", name, "--folder", str(folder)]
            return subprocess.Popen(command, stdin=-1, stdout=-1, text=True, bufsize=1)

        taken, known = take_turns(names, begin, options.rounds, options.seconds)
        fidelity = compare(folder, names, options.peers)
        length = float(np.diff(np.load(folder / "bounds.npy").astype(np.int64)).mean())
    for name, decibels in fidelity.items():
        if name in known:
            known[name]["psnr_db"] = decibels  # type: ignore[assignment]
    lines = report("W3", taken, known, {"jpeg_bytes": round(length)}, [LIMIT])
    if options.save:
        record.append("stream_jpeg", lines)
    return 0 if statistics.median(taken["dsets"]) else 1


if __name__ == "__main__":
    sys.exit(main())
