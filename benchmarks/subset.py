"""Some images out of a remote zip, against the whole zip: bytes, requests, seconds.

    python benchmarks/subset.py [--images 1000] [--max 100] [--rounds 5] [--save]

A server process answers ranges after a wait that stands for the way there and back. The zip has
COCO's layout and images of about 75 kB, of which a tenth has the class. ``dsets.subset`` and
``dsets.fetch`` of the whole zip take turns, without wait and with 50 ms a request. What was sent is
counted by the server. Loopback has no limit of its own: elsewhere the bytes decide.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import io
import json
import multiprocessing
import os
import shutil
import tempfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import record
from PIL import Image

from dsets import fetch, manifest, store, subset
from dsets.manifest import File, Manifest

WAITS_MS = (0, 50)


def serve(folder: Path, wait: Any, sent: Any, ready: Any) -> None:
    """Files by ranges, each answer ``wait`` ms late; ``sent`` counts bytes and requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            data = held[self.path]
            wanted = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
            start = int(wanted[0] or 0)
            end = int(wanted[2]) + 1 if wanted[2] else len(data)
            time.sleep(wait.value / 1000)
            with sent.get_lock():
                sent[0] += end - start
                sent[1] += 1
            self.send_response_only(206 if wanted[1] else 200)
            self.send_header("Content-Length", str(end - start))
            self.send_header("ETag", '"1"')
            if wanted[1]:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            self.end_headers()
            self.wfile.write(memoryview(data)[start:end])

    held = {f"/{path.name}": path.read_bytes() for path in folder.iterdir()}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        ready.send(server.server_port)
        server.serve_forever()


def write(folder: Path, count: int) -> None:
    folder.mkdir()
    random = np.random.default_rng(1)
    pictures = []
    for _ in range(20):
        out = io.BytesIO()
        pixels = random.integers(0, 256, (240, 320, 3), np.uint8)
        Image.fromarray(pixels).save(out, "JPEG", quality=92)
        pictures.append(out.getvalue())
    images = [
        {"id": i, "width": 320, "height": 240, "file_name": f"{i:012}.jpg"} for i in range(count)
    ]
    objects = [
        {"id": i, "image_id": i, "category_id": 1 if i % 10 == 0 else 2, "bbox": [1, 1, 9, 9]}
        for i in range(count)
    ]
    kinds = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    page = {"images": images, "annotations": objects, "categories": kinds}
    with zipfile.ZipFile(folder / "val2017.zip", "w") as archive:
        for i in range(count):
            archive.writestr(f"val2017/{i:012}.jpg", pictures[i % 20])
    with zipfile.ZipFile(folder / "annotations_trainval2017.zip", "w") as archive:
        archive.writestr("annotations/instances_val2017.json", json.dumps(page))


def described(folder: Path, address: str) -> Manifest:
    """COCO's own manifest with other files and one split."""
    parent = manifest.find("coco2017")
    files = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        files.append(File(path.name, (f"{address}/{path.name}",), len(data), digest))
    options = {
        "images": "val2017.zip",
        "folder": "val2017",
        "instances": "annotations_trainval2017.zip",
    }
    split = replace(parent.split("val"), training=True, options=options)
    return replace(parent, files=tuple(files), splits=(split,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--max", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        os.environ["DSETS_HOME"] = str(work / "home")
        write(work / "served", given.images)
        wait, sent = multiprocessing.Value("i", 0), multiprocessing.Array("q", 2)
        here, there = multiprocessing.Pipe()
        arguments = (work / "served", wait, sent, there)
        server = multiprocessing.Process(target=serve, args=arguments, daemon=True)
        server.start()
        parent = described(work / "served", f"http://127.0.0.1:{here.recv()}")
        annotations = ["annotations_trainval2017.zip"]
        fetch.files(fetch.plan(parent, store.raw("coco2017"), files=annotations), accept_terms=True)
        chosen = subset.Selection(("cat",), given.max)
        plan = subset.plan(parent, chosen, "cats")

        def some() -> None:
            shutil.rmtree(store.raw("cats"), ignore_errors=True)
            subset.make(plan)

        def whole() -> None:
            shutil.rmtree(work / "whole", ignore_errors=True)
            fetch.files(
                fetch.plan(parent, work / "whole", files=["val2017.zip"]), accept_terms=True
            )

        some(), whole()  # warm: imports, page cache
        for wait.value in WAITS_MS:
            taken: dict[str, list[tuple[float, int, int]]] = {"subset": [], "whole zip": []}
            for number in range(given.rounds):
                runs = [("subset", some), ("whole zip", whole)][:: 1 if number % 2 else -1]
                for name, run in runs:
                    sent[0], sent[1] = 0, 0
                    begun = time.perf_counter()
                    run()
                    taken[name].append((time.perf_counter() - begun, sent[0], sent[1]))
            where = f"{given.max} of {given.images} images, {wait.value} ms a request"
            for name, values in taken.items():
                seconds, sizes, requests = (list(one) for one in zip(*values, strict=True))
                lines.append(record.line(f"{name}: {where}", "s", seconds))
                lines.append(record.line(f"{name}: {where}", "bytes", sizes))
                lines.append(record.line(f"{name}: {where}", "requests", requests))
            pairs = zip(taken["whole zip"], taken["subset"], strict=True)
            lines.append(
                record.line(
                    f"whole zip over subset: {where}", "ratio", [a[0] / b[0] for a, b in pairs]
                )
            )
        server.terminate()
        server.join()
    for one in lines:
        print(f"{one['what']}: {one['median']:.3f} {one['unit']} ({one['min']} … {one['max']})")
    if given.save:
        record.append("subset", lines)


if __name__ == "__main__":
    main()
