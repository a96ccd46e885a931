"""Storage that changes or fails under a running stream: an error, never the end of the process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets.errors import PackError
from dsets.pack import Pack
from dsets.stream import Batch, batches

MakePack = Callable[..., Pack]

PACK = """
import os, sys
native, deed, folder = sys.argv[1:]
if native == "without":
    sys.modules["dsets._native"] = None
import numpy as np
from dsets import Pack, extension
from dsets.errors import PackError
from dsets.stream import batches
from dsets.transforms import Normalise, PadCrop

assert native == "without" or extension.native is not None
name = os.path.join(folder, "shard-00001.h5")
pack = Pack.open(folder)
before = os.stat(name)
data = open(name, "rb").read()

def truncate():
    os.truncate(name, 8192)

def put_back():
    "The file looks as before; pages that were read meanwhile were not answered."
    with open(name, "r+b") as file:
        file.write(data)
    os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))
"""

SCRIPT = """
def replace():
    with open(name + ".new", "wb") as file:
        file.write(data)
    os.replace(name + ".new", name)

def overwrite():
    with open(name, "r+b") as file:
        file.write(bytes(len(data)))

def fail():
    "As failing storage: reads are not answered, and the file looks as before."
    truncate()
    assert not pack.arrays("image")[1][40].any()  # not answered: zeros
    put_back()

shown = []
stream = batches(pack, 16, transform=[PadCrop(2), Normalise.of(pack)])
try:
    for epoch in range(20):
        for step, batch in enumerate(stream):
            if (epoch, step) == (1, 2):
                if deed == "fail":
                    break  # with its threads at rest
                globals()[deed]()
        if epoch == 1 and deed == "fail":
            fail()
    print("no error", stream.substituted > 0, sorted(stream.unreadable))
except PackError as error:
    print("PackError", error)
try:
    pack[int(pack.starts[1]) + 40]
    print("read")
except PackError as error:
    print("PackError", error)
"""


#: Storage fails while a batch of samples that were all verified is read: put back before anyone
#: looks at the file, or cut short for good. A batch in mid-epoch: none is made so far ahead.
VERIFIED = """
from dsets.stream.assembly import Assembly

images = np.stack([pack[number]["image"] for number in range(len(pack))])
gathered = Assembly._gathered

def failing(self, job):
    first = (job.epoch, job.position) == (1, 160) and not failed
    if first:
        failed.append(job.position)
        truncate()
    batch = gathered(self, job)
    if first and deed == "fail":
        put_back()
    return batch

Assembly._gathered, failed = failing, []
stream = batches(pack, 16, seed=1, threads=1)
wrong = taken = 0
try:
    for epoch in range(2):
        for batch in stream:
            wrong += int((batch["image"] != images[batch.index]).any())
            taken += 1
    print("no error", taken, wrong, stream.substituted > 0, failed)
except PackError as error:
    print("PackError", taken, wrong, error)
"""


def run(native: str, deed: str, pack: Pack, folder: Path, script: str = SCRIPT) -> list[str]:
    shutil.copytree(pack.path, folder)
    command = [sys.executable, "-W", "ignore", "-c", PACK + script, native, deed, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="the guard without the extension needs Linux"
)
NATIVE = pytest.mark.parametrize("native", ["with", "without"])


@pytest.fixture
def pack(make_pack: MakePack) -> Pack:
    return make_pack(300, 3, (32, 32, 3))


@LINUX
@NATIVE
@pytest.mark.parametrize("deed", ["truncate", "replace", "overwrite"])
def test_promise_8_a_shard_that_changes_under_a_stream_is_an_error_that_names_it(
    pack: Pack, tmp_path: Path, native: str, deed: str
) -> None:
    stream, sample = run(native, deed, pack, tmp_path / "pack")
    for line in (stream, sample):
        assert line.startswith("PackError") and "shard-00001.h5" in line
        assert "cut short, changed or replaced" in line and "dsets repair" in line


@LINUX
@NATIVE
def test_promise_5_what_storage_does_not_answer_is_unreadable(
    pack: Pack, tmp_path: Path, native: str
) -> None:
    stream, sample = run(native, "fail", pack, tmp_path / "pack")
    assert stream.startswith("no error True") and "train/00140" in stream
    assert sample.startswith("PackError") and "damaged sample" in sample


@LINUX
@NATIVE
def test_promise_5_what_storage_no_longer_answers_is_unreadable_though_it_was_verified(
    pack: Pack, tmp_path: Path, native: str
) -> None:
    (told,) = run(native, "fail", pack, tmp_path / "pack", VERIFIED)
    assert told == "no error 38 0 True [160]"


@LINUX
@NATIVE
def test_promise_8_no_batch_of_verified_samples_is_of_a_shard_that_was_cut_short_under_it(
    pack: Pack, tmp_path: Path, native: str
) -> None:
    (told,) = run(native, "truncate", pack, tmp_path / "pack", VERIFIED)
    assert told.startswith("PackError 29 0 ") and "shard-00001.h5" in told
    assert "cut short, changed or replaced" in told


def test_a_deleted_pack_stays_readable_while_it_is_mapped(pack: Pack, tmp_path: Path) -> None:
    shutil.copytree(pack.path, tmp_path / "pack")
    with batches(Pack.open(tmp_path / "pack"), 16) as stream:
        iterator = iter(stream)
        next(iterator)
        shutil.rmtree(tmp_path / "pack")
        assert len(list(iterator)) == len(stream) - 1


def overwrite(path: Path) -> None:
    """Write other pixels to a shard where it is, as ``cp`` would; it is a second younger then."""
    before = path.stat()
    with path.open("r+b") as file:
        data = np.frombuffer(file.read(), np.uint8)
        file.seek(0)
        file.write((data ^ 1).tobytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


@pytest.fixture
def many(make_pack: MakePack, tmp_path: Path) -> Pack:
    """Forty shards of two samples."""
    return Pack.open(shutil.copytree(make_pack(80, 40).path, tmp_path / "many"))


def test_promise_8_the_shards_of_a_batch_are_looked_at_after_it(many: Pack) -> None:
    """Not only those whose turn it is: for four batches that is not the second."""

    def overwrite_the_next(batch: Batch) -> dict[str, np.ndarray]:
        if batch.position == 0:  # the one thread makes the next batch after this
            overwrite(many.path / "shard-00001.h5")
        return {"label": batch["label"]}

    arguments: dict[str, Any] = {"shuffle": False, "threads": 1, "verify": "never"}
    with (
        batches(many, 2, transform=[overwrite_the_next], **arguments) as stream,
        pytest.raises(PackError, match=r"shard-00001\.h5.*changed or replaced"),
    ):
        list(stream)
    assert stream.position == 2


@pytest.mark.parametrize("name", ["shard-00000.h5", "shard-00020.h5", "shard-00039.h5"])
def test_promise_8_no_epoch_ends_when_a_shard_has_changed_under_it(many: Pack, name: str) -> None:
    """Where each batch has samples of more shards than are looked at after it."""
    with batches(many, 40, verify="never") as stream:
        with pytest.raises(PackError, match=f"{name}.*changed or replaced"):
            for _, batch in zip(range(2), stream, strict=False):  # which leaves it at the last one
                assert batch.position == 0
                overwrite(many.path / name)
        assert (stream.epoch, stream.position) == (0, 40)
        with pytest.raises(PackError, match=name):
            list(stream)


def test_a_fault_elsewhere_still_ends_the_process(pack: Pack, tmp_path: Path) -> None:
    """The guard is for packs alone."""
    script = (
        "import mmap, os, sys; from dsets import Pack; p = Pack.open(sys.argv[1]); p[0]\n"
        "f = open(sys.argv[2], 'w+b'); f.truncate(8192); m = mmap.mmap(f.fileno(), 8192)\n"
        "f.truncate(0); m[5000]"
    )
    command = [sys.executable, "-c", script, str(pack.path), str(tmp_path / "other")]
    assert subprocess.run(command, check=False).returncode == -7


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs two users")
def test_two_users_read_one_read_only_pack(pack: Pack, tmp_path: Path) -> None:
    """Two jobs at once, one of them of a user who may not write there."""
    folder = tmp_path / "pack"
    shutil.copytree(pack.path, folder)
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in folder.parents:
        if parent.is_relative_to(tmp_path.parent.parent):
            parent.chmod(0o755)
    before = sorted(os.listdir(folder))
    script = (
        "import sys, os; from dsets import Pack; from dsets.stream import batches\n"
        "list(batches(Pack.open(sys.argv[1]), 16))  # imports, from wherever root may\n"
        "os.setuid(int(sys.argv[2]))\n"
        "print(sum(len(b.index) for b in batches(Pack.open(sys.argv[1]), 16)))"
    )
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder), user], stdout=subprocess.PIPE, text=True
        )
        for user in ("0", "65534")
    ]
    assert [job.communicate(timeout=60)[0].strip() for job in jobs] == ["300", "300"]
    assert sorted(os.listdir(folder)) == before
