"""One big file over loopback: ``fetch`` with sha256 and fsync, against curl, which does neither.

    python benchmarks/fetch_big.py [--mebibytes 512] [--rounds 5] [--folder FOLDER]
        [--medium "what FOLDER lies on"] [--save]

The server is a process that sends the file by sendfile. Ours, curl, and curl with sha256sum behind
it (through tee) take turns; every other round goes the other way round. The ratio of a round is
curl's seconds over ours; the goal is 0.95. Beside them sha256 alone runs over bytes that are in
memory already: nobody who hashes is done before it, whatever else is free. Where a C compiler and
libcrypto's headers are, ``fetch_limit.c`` takes its turn: ours in C, without an interpreter.

Who is the limit: the processor seconds of each client and of the server beside it are printed, too.
No client is done before their sum is spent on the cores that there are: that floor, for hashing
what curl only stores, is the ratio ``floor``.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

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
    fetch.files(fetch.plan(manifest, folder), accept_terms=True)


def curl(address: str, folder: Path) -> None:
    folder.mkdir()
    subprocess.run(["curl", "-sf", "-o", str(folder / "big.bin"), address], check=True)


def curl_hashed(address: str, folder: Path) -> None:
    folder.mkdir()
    line = 'set -o pipefail; curl -sf "$1" | tee "$2" | sha256sum > "$3"'
    names = (address, str(folder / "big.bin"), str(folder / "sum"))
    subprocess.run(["bash", "-c", line, "bash", *names], check=True)


def compiled(folder: Path) -> Path | None:
    """``fetch_limit.c`` as a program, or None where it cannot be compiled."""
    source, program = Path(__file__).with_name("fetch_limit.c"), folder / "fetch_limit"
    line = ("cc", "-O2", "-o", str(program), str(source), "-lcrypto", "-lpthread")
    try:
        subprocess.run(line, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return program


def in_c(program: Path, port: int, sha256: str, folder: Path) -> None:
    folder.mkdir()
    line = (str(program), str(port), str(folder / "big.bin"))
    found = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert found.strip() == sha256


def sha256_alone(data: memoryview, folder: Path) -> None:
    folder.mkdir()
    digest = hashlib.sha256()
    for start in range(0, len(data), 1 << 18):
        digest.update(data[start : start + (1 << 18)])


def seconds(run: Callable[[], None], folder: Path) -> tuple[float, float]:
    """How long it took, and the processor seconds of the client."""
    shutil.rmtree(folder, ignore_errors=True)
    begun, spent = time.perf_counter(), sum(os.times()[:4])
    run()
    taken, spent = time.perf_counter() - begun, sum(os.times()[:4]) - spent
    shutil.rmtree(folder)
    return taken, spent


def spent_by(process: int) -> float:
    """The processor seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--medium", default="disk")
    parser.add_argument("--save", action="store_true")
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
        port = here.recv()
        address = f"http://127.0.0.1:{port}/big.bin"
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
        folder, bytes_ = work / "got", memoryview(data.read_bytes())
        runs = {
            "dsets": lambda: ours(manifest, folder),
            "curl": lambda: curl(address, folder),
            "curl with sha256sum": lambda: curl_hashed(address, folder),
            "sha256 alone": lambda: sha256_alone(bytes_, folder),
        }
        if program := compiled(work):
            runs["C"] = lambda: in_c(program, port, digest.hexdigest(), folder)
        taken: dict[str, list[float]] = {name: [] for name in runs}
        spent: dict[str, list[float]] = {name: [] for name in runs}
        serving: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():  # warm: imports, page cache
            seconds(run, folder)
        assert server.pid
        for number in range(given.rounds):
            for name in list(runs)[:: 1 if number % 2 else -1]:
                before = spent_by(server.pid)
                wall, processor = seconds(runs[name], folder)
                taken[name].append(wall)
                spent[name].append(processor)
                serving[name].append(spent_by(server.pid) - before)
        server.terminate()
        server.join()
    ratios = [theirs / own for theirs, own in zip(taken["curl"], taken["dsets"], strict=True)]
    hashed = zip(taken["curl with sha256sum"], taken["dsets"], strict=True)
    beside = [theirs / own for theirs, own in hashed]
    cores = os.cpu_count() or 1
    floors = [
        theirs / ((own + server) / cores)
        for theirs, own, server in zip(taken["curl"], spent["dsets"], serving["dsets"], strict=True)
    ]
    alone = [a / b for a, b in zip(taken["curl"], taken["sha256 alone"], strict=True)]
    size, facts = given.mebibytes / 1024, {"medium": given.medium}

    def line(what: str, unit: str, values: list[float]) -> dict[str, Any]:
        return record.line(what, unit, values, facts)

    lines = [
        line(f"fetch of {given.mebibytes} MiB by {name}", "GiB/s", [size / t for t in times])
        for name, times in taken.items()
    ]
    lines.append(line("sha256 alone of bytes in memory, of curl", "ratio", alone))
    lines.append(line("fetch with sha256 and fsync, of curl without", "ratio", ratios))
    lines.append(line("fetch with sha256 and fsync, of curl with sha256sum", "ratio", beside))
    lines.append(line("fetch's processor time spread over all cores, of curl", "ratio", floors))
    if "C" in runs:
        limits = [theirs / c for theirs, c in zip(taken["curl"], taken["C"], strict=True)]
        lines.append(line("the same in C, of curl", "ratio", limits))
    for name in runs:
        lines.append(line(f"processor of {name}", "s/GiB", [t / size for t in spent[name]]))
        lines.append(
            line(f"processor of the server of {name}", "s/GiB", [t / size for t in serving[name]])
        )
    for one in lines:
        print(f"{one['what']}: {one['median']:.3f} {one['unit']} ({one['min']} … {one['max']})")
    print(f"median ratio {statistics.median(ratios):.3f}, goal 0.95")
    if given.save:
        record.append("fetch_big", lines)


if __name__ == "__main__":
    main()
