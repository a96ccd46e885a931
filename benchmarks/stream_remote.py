"""A pack of JPEG files over HTTP with 50 ms latency, beside the same pack on the local disk.

    python benchmarks/stream_remote.py [--images N] [--epochs N] [--rounds N] [--save]

JPEG files of 256², drawn here (smooth fields with grain), batches of 256 in window order, W3's
recipe (``stream_jpeg.py``), two threads, every byte of every batch read. The server is a process on
the same cores that waits 50 ms before it answers, and leaves the sending to the kernel.
Rounds alternate: the remote pack with an empty cache of six tenths of it, and the local one.
Every round is some epochs of a new stream, its first batch included, and what it fetched of the
next epoch; the share of the first batch is told. In the first epoch every shard is fetched, later a
part of them is still in the cache: both are told apart.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import record
from contestant import MEAN, STD, read

LATENCY_S = 0.05


class _Late(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(LATENCY_S)
        super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """At the least cost: this processor time would be another machine's."""
        self.connection.sendfile(source)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A stream that is closed leaves in the middle of an answer; nothing to report."""


def serve(folder: Path, tell: Connection) -> None:
    """Serve a folder for ever; tells the port."""
    server = _Server(("127.0.0.1", 0), partial(_Late, directory=str(folder)))
    tell.send(server.server_port)
    server.serve_forever()


def prepare(folder: Path, images: int, per_shard: int) -> None:
    """A pack of JPEG files of 256²: smooth random fields with some grain, quality 90.

    The grain is such that a file has 20.5 KB, about what ImageNet's have.
    """
    from PIL import Image

    from dsets import pack
    from dsets.field import Field

    random = np.random.default_rng(0)
    files = []
    for _ in range(64):
        small = Image.fromarray(random.integers(0, 256, (20, 20, 3), np.uint8))
        smooth = np.asarray(small.resize((256, 256), Image.Resampling.BICUBIC), np.int16)
        grain = random.integers(-8, 9, smooth.shape)
        buffer = io.BytesIO()
        pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
        files.append(np.frombuffer(buffer.getvalue(), np.uint8))
    fields = (Field("image", "uint8", (None,)), Field("label", "int64", ()))
    keys = [f"train/{number:06d}" for number in range(images)]
    shards = []
    for first in range(0, images, per_shard):
        numbers = range(first, min(first + per_shard, images))
        values = {
            "image": [files[number % 64] for number in numbers],
            "label": np.array(numbers) % 10,
        }
        path = folder / f"shard-{len(shards):05d}.h5"
        part = keys[numbers.start : numbers.stop]
        shards.append(pack.shard.write(path, fields, part, values))
    pack.finish(
        folder,
        split="train",
        fields=fields,
        shards=shards,
        statistics=None,
        statistics_of=None,
        quarantine=(),
        samples_digest=pack.samples_digest(keys),
        provenance={},
    )


def epochs(pack: Any, count: int) -> tuple[float, float, float]:
    """Samples a second of a new stream's first epoch, and of all; seconds to its first batch."""
    from dsets.stream import Window, batches
    from dsets.transforms import Flip, Normalise, RandomResizedCrop

    begun, rows, first, after = time.perf_counter(), 0, 0.0, []
    shown = [RandomResizedCrop(224), Flip(), Normalise(MEAN, STD)]
    with batches(pack, 256, shuffle=Window(8, 256), transform=shown, threads=2) as stream:
        for _ in range(count):
            for batch in stream:
                first = first or time.perf_counter() - begun
                rows += len(batch.index)
                assert read(batch["image"])
            after.append(rows / (time.perf_counter() - begun))
    return after[0], after[-1], first


def _ratios(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ones, others, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=76_800)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    from dsets import remote
    from dsets.pack import Pack

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "train"
        folder.mkdir()
        prepare(folder, given.images, 500)
        ours, theirs = multiprocessing.Pipe()
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, theirs))
        server.start()
        try:
            address = f"http://127.0.0.1:{ours.recv()}"
            size = sum(path.stat().st_size for path in folder.iterdir())
            found: dict[str, list[tuple[float, float, float]]] = {"local": [], "remote": []}
            epochs(Pack.open(folder), 1)  # the page cache and the kernels are warm
            for _ in range(given.rounds):
                with (
                    tempfile.TemporaryDirectory(dir=place) as cache,
                    remote.open(address, folder=Path(cache), limit=size * 6 // 10) as pack,
                ):
                    found["remote"].append(epochs(pack, given.epochs))
                found["local"].append(epochs(Pack.open(folder), given.epochs))
        finally:
            server.kill()
            server.join()
    (near, near_all, soon), (far, far_all, late) = (
        zip(*found[name], strict=True) for name in ("local", "remote")
    )
    facts = {"images": given.images, "bytes": size, "latency_ms": 50, "cache": 0.6, "lanes": 8}
    more = facts | {"epochs": given.epochs}
    lines = [
        record.line("JPEG pack, local", "samples/s", near, facts),
        record.line("JPEG pack, HTTP with 50 ms", "samples/s", far, facts),
        record.line("HTTP with 50 ms over local", "ratio", _ratios(far, near), facts),
        record.line("JPEG pack, local, all epochs", "samples/s", near_all, more),
        record.line("JPEG pack, HTTP with 50 ms, all epochs", "samples/s", far_all, more),
        record.line(
            "HTTP with 50 ms over local, all epochs", "ratio", _ratios(far_all, near_all), more
        ),
        record.line("JPEG pack, local, first batch", "s", soon, facts),
        record.line("JPEG pack, HTTP with 50 ms, first batch", "s", late, facts),
    ]
    for line in lines:
        print(line["what"], line["median"], f"({line['min']} to {line['max']})", line["unit"])
    if given.save:
        print(record.append("stream_remote", lines))


if __name__ == "__main__":
    main()
