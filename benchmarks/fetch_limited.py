"""One file from a server that limits each connection: ``fetch`` over several, against curl's one.

    python benchmarks/fetch_limited.py [--mebibytes 96] [--rate 4] [--rounds 5] [--save]

The server is a process; a token bucket gives each of its connections ``--rate`` MiB/s, after a
burst of 256 KiB. It answers ranges and names a strong ETag. Ours with its default of connections,
ours with one, and curl take turns. The limit is the number of connections times the rate, from the
first byte on; what is less than it is the time in which one connection is watched and others are
added one by one (``fetch.Patience``).
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import re
import socket
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import record
from fetch_big import curl, seconds

from dsets import fetch
from dsets.fetch.side_by_side import CONNECTIONS
from dsets.manifest import File, Manifest

BURST = 1 << 18
PIECE = 1 << 16


def give(connection: socket.socket, data: bytes, rate: float) -> None:
    """Answer requests on one connection until it ends, at ``rate`` bytes a second."""
    begun, sent = time.monotonic(), 0
    with connection:
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                if not (more := connection.recv(65536)):
                    return
                head += more
            wanted = re.search(rb"\r\nrange: bytes=(\d+)-(\d*)", head, re.I)
            start = int(wanted[1]) if wanted else 0
            end = int(wanted[2]) + 1 if wanted and wanted[2] else len(data)
            lines = [f"Content-Length: {end - start}", "Accept-Ranges: bytes", 'ETag: "one"']
            if wanted:
                lines.append(f"Content-Range: bytes {start}-{end - 1}/{len(data)}")
            status = "206 Partial Content" if wanted else "200 OK"
            connection.sendall("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode())
            for place in range(start, end, PIECE):
                piece = data[place : min(place + PIECE, end)]
                due = begun + (sent + len(piece) - BURST) / rate
                time.sleep(max(due - time.monotonic(), 0.0))
                begun = max(begun, time.monotonic() - (sent + BURST) / rate)  # no more than a burst
                try:
                    connection.sendall(piece)
                except OSError:
                    return
                sent += len(piece)


def serve(data: bytes, rate: float, ready: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ready.send(listening.getsockname()[1])
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=give, args=(connection, data, rate), daemon=True).start()


def ours(manifest: Manifest, folder: Path, connections: int) -> None:
    fetch.files(fetch.plan(manifest, folder), accept_terms=True, connections=connections)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=96)
    parser.add_argument("--rate", type=float, default=4.0, help="MiB/s of a connection")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    data = hashlib.shake_128(b"limited").digest(given.mebibytes << 20)
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(
        target=serve, args=(data, given.rate * (1 << 20), there), daemon=True
    )
    server.start()
    address = f"http://127.0.0.1:{here.recv()}/big.bin"
    file_ = File("big.bin", (address,), bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
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
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "got"
        runs = {
            f"dsets, {CONNECTIONS} connections": lambda: ours(manifest, folder, CONNECTIONS),
            "dsets, 1 connection": lambda: ours(manifest, folder, 1),
            "curl": lambda: curl(address, folder),
        }
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(given.rounds):
            for name in list(runs)[:: 1 if number % 2 else -1]:
                taken[name].append(seconds(runs[name], folder)[0])
    server.terminate()
    server.join()
    facts = {"mebibytes": given.mebibytes, "limit_mebibytes_s": given.rate}
    several, one, theirs = taken.values()
    lines = [
        record.line(f"fetch by {name}", "MiB/s", [given.mebibytes / t for t in times], facts)
        for name, times in taken.items()
    ]
    lines += [
        record.line(
            "curl's time over several connections'", "ratio", ratio(theirs, several), facts
        ),
        record.line("curl's time over one connection's", "ratio", ratio(theirs, one), facts),
    ]
    for found in lines:
        print(
            f"{found['what']}: {found['median']:.3f} {found['unit']} "
            f"({found['min']:.3f} … {found['max']:.3f})"
        )
    print(f"limit {CONNECTIONS} connections: {CONNECTIONS * given.rate:g} MiB/s")
    if given.save:
        record.append("fetch_limited", lines)


def ratio(theirs: list[float], own: list[float]) -> list[float]:
    return [a / b for a, b in zip(theirs, own, strict=True)]


if __name__ == "__main__":
    main()
