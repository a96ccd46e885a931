"""One big file over loopback: ``fetch`` with sha256 and fsync, against curl, which does neither.

    python benchmarks/fetch_big.py [--mebibytes 512] [--rounds 5] [--folder FOLDER] [--record]

The server is a process that sends the file by sendfile. Ours and curl alternate; ours goes first in
every other round. The ratio of a round is curl's seconds over ours; the goal is 0.95.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import record

from dsets import fetch
from dsets.manifest import File, Manifest


def serve(path: Path, ready: Connection) -> None:
    """Answer every request with the whole file."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ready.send(listening.getsockname()[1])
        while True:
            connection, _ = listening.accept()
            with connection, path.open("rb") as file:
                while not connection.recv(65536).endswith(b"\r\n\r\n"):
                    pass
                size = path.stat().st_size
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode())
                connection.sendfile(file)


def ours(manifest: Manifest, folder: Path) -> None:
    fetch.files(fetch.plan(manifest, folder))


def curl(address: str, folder: Path) -> None:
    folder.mkdir()
    subprocess.run(["curl", "-sf", "-o", str(folder / "big.bin"), address], check=True)


def seconds(run: Callable[[], None], folder: Path) -> float:
    shutil.rmtree(folder, ignore_errors=True)
    begun = time.perf_counter()
    run()
    taken = time.perf_counter() - begun
    shutil.rmtree(folder)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        work = Path(temporary)
        data = work / "served.bin"
        digest = hashlib.sha256()
        with data.open("wb") as file:
            for number in range(given.mebibytes):
                block = hashlib.shake_128(number.to_bytes(8, "little")).digest(1 << 20)
                digest.update(block)
                file.write(block)
        here, there = multiprocessing.Pipe()
        server = multiprocessing.Process(target=serve, args=(data, there), daemon=True)
        server.start()
        address = f"http://127.0.0.1:{here.recv()}/big.bin"
        file_ = File("big.bin", (address,), bytes=data.stat().st_size, sha256=digest.hexdigest())
        manifest = Manifest(
            name="big",
            title="Big",
            homepage="",
            licence="CC0",
            access="open",
            citation="",
            reader="idx",
            pipeline="as_is",
            files=(file_,),
            splits=(),
            fields=(),
            digest="0" * 64,
            origin="benchmark",
        )
        folder = work / "got"
        runs = {
            "dsets": lambda: ours(manifest, folder),
            "curl": lambda: curl(address, folder),
        }
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():  # warm: imports, page cache
            seconds(run, folder)
        for number in range(given.rounds):
            for name in list(runs)[:: 1 if number % 2 else -1]:
                taken[name].append(seconds(runs[name], folder))
        server.terminate()
        server.join()
    ratios = [theirs / own for theirs, own in zip(taken["curl"], taken["dsets"], strict=True)]
    size = given.mebibytes / 1024
    lines = [
        record.line(f"fetch of {given.mebibytes} MiB by {name}", "GiB/s", [size / t for t in times])
        for name, times in taken.items()
    ]
    lines.append(record.line("fetch with sha256 and fsync, of curl without", "ratio", ratios))
    for one in lines:
        print(f"{one['what']}: {one['median']:.3f} {one['unit']} ({one['min']} … {one['max']})")
    print(f"median ratio {statistics.median(ratios):.3f}, goal 0.95")
    if given.record:
        record.append("fetch_big", lines)


if __name__ == "__main__":
    main()
