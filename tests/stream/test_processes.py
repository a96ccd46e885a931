"""Streams in processes that are killed, and in processes that were spawned. Promise 6."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dsets.pack import Pack
from dsets.stream import batches

MakePack = Callable[..., Pack]

_STREAMING = """
import sys
import dsets
from dsets.transforms import Flip

device = sys.argv[2] or None
pack = dsets.Pack.open(sys.argv[1])
stream = dsets.stream.batches(pack, 8, transform=[Flip()], device=device)
while True:
    for batch in stream:
        print(batch.position, flush=True)
"""


def _files(*folders: Path) -> dict[Path, tuple[int, int]]:
    """Every path below the folders, its size and when it was written to."""
    found = [path for folder in folders for path in folder.rglob("*")]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def _shared_memory(process: int) -> set[Path]:
    """What a living process maps or has open of /dev/shm."""
    proc = Path(f"/proc/{process}")
    if not proc.exists():
        return set()  # no Linux, no /dev/shm
    names = [line.split(maxsplit=5)[-1] for line in (proc / "maps").read_text().splitlines()]
    for descriptor in (proc / "fd").iterdir():
        try:
            names.append(os.readlink(descriptor))
        except FileNotFoundError:
            continue  # closed meanwhile
    return {Path(name) for name in names if name.startswith("/dev/shm/")}


@pytest.mark.parametrize("device", ["", "cpu"])
def test_promise_6_a_killed_process_leaves_nothing_behind(
    make_pack: MakePack, tmp_path: Path, home: Path, device: str
) -> None:
    if device:
        pytest.importorskip("torch")
    pack = make_pack(53)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    home.mkdir(exist_ok=True)
    before = _files(Path(pack.path), temporary, home)
    with subprocess.Popen(
        [sys.executable, "-c", _STREAMING, str(pack.path), device],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        for _ in range(10):  # into the second epoch
            assert child.stdout.readline()
        shared = _shared_memory(child.pid)
        child.kill()
    assert child.returncode == -9
    assert _files(Path(pack.path), temporary, home) == before
    assert not [path for path in shared if path.exists()]
    rest = [int(i) for batch in batches(pack, 8) for i in batch.index]
    assert sorted(rest) == list(range(53))


_SPAWNING = """
import json
import multiprocessing
import sys
import dsets

def send_epoch(pack, pipe):
    pipe.send([int(i) for batch in dsets.stream.batches(pack, 8, seed=3) for i in batch.index])

if __name__ == "__main__":
    pack = dsets.Pack.open(sys.argv[1])
    stream = dsets.stream.batches(pack, 8, seed=3)
    next(iter(stream))  # its threads and its state are of this process only
    context = multiprocessing.get_context(sys.argv[2])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=send_epoch, args=(pack, there))
    process.start()
    there.close()  # so that a child's death is the pipe's end, not a wait
    print(json.dumps(here.recv()))
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_of_its_own_streams_the_same_order(
    make_pack: MakePack, tmp_path: Path, method: str
) -> None:
    pack = make_pack(53)
    script = tmp_path / "spawning.py"  # a spawned process reads it again
    script.write_text(_SPAWNING)
    command = [sys.executable, str(script), str(pack.path), method]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    with batches(pack, 8, seed=3) as stream:
        assert json.loads(ended.stdout) == [int(i) for batch in stream for i in batch.index]


def test_a_stream_of_raw_images_loads_no_decoder_and_no_hdf5(make_pack: MakePack) -> None:
    code = (
        "import sys\n"
        "from dsets import stream\n"
        "from dsets.pack import Pack\n"
        f"next(iter(stream.batches(Pack.open({str(make_pack(10).path)!r}), 4)))\n"
        "print({'PIL', 'h5py', 'pandas', 'dask', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
