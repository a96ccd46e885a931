from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from dsets import locks, remote
from dsets.errors import FetchError, PackError, SpaceError, UsageError
from dsets.fetch import Patience
from dsets.pack import Pack
from dsets.pack.mapping import Stamp
from dsets.pack.reserve import Reserved
from dsets.remote import cache
from dsets.stream import batches
from tests.server import Server

#: Opens the pack, holds sample 0's shard where asked to, streams, and tells when it is done.
CHILD = """
import sys
from pathlib import Path
import numpy as np
from dsets import remote
from dsets.stream import Window, batches
address, root, limit, what = sys.argv[1:]
pack = remote.open(address, folder=Path(root), limit=int(limit) or None)
if what == "hold":
    with pack.holding(np.array([0])):
        print("holding", flush=True)
        sys.stdin.readline()
        assert pack[0]["key"] == "k0"
if what == "stream":
    with batches(pack, 5, shuffle=Window(2, 4)) as stream:
        for _ in range(3):
            assert sum(len(batch.index) for batch in stream) == 60
if what == "pause":
    with batches(pack, 5, shuffle=Window(2, 4)) as stream:
        left = iter(stream)
        next(left)
        print("pausing", flush=True)
        sys.stdin.readline()
        assert sum(len(batch.index) for batch in left) == 55
if what == "get":
    print(pack[10]["key"], flush=True)
pack.close()
print("done", flush=True)
"""


def start(address: str, root: Path, limit: int, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, address, str(root), str(limit), what]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_processes_that_share_a_cache_fetch_once_and_keep_to_its_size(
    address: str, root: Path, server: Server, shard_bytes: int
) -> None:
    children = [start(address, root, 0, "stream") for _ in range(3)]
    for child in children:
        assert child.communicate()[0].split() == ["done"]
        assert child.returncode == 0
    assert all(len(server.asked(f"/train/s-{number}.h5")) == 1 for number in range(6))
    assert not list(root.glob("**/*.part")) and not list(root.glob("held/*"))
    with remote.open(address, folder=root, limit=2 * shard_bytes) as pack:
        assert pack[0]["key"] == "k0"
        shards = list(root.glob("packs/*/s-*.h5"))
        assert sum(path.stat().st_size for path in shards) <= 2 * shard_bytes


def test_what_another_process_holds_is_never_removed(
    address: str,
    root: Path,
    shard_bytes: int,
    kept: Callable[[], set[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dsets.remote.places.OTHERS_S", 0.2)
    with start(address, root, 2 * shard_bytes, "hold") as child:
        assert child.stdout and child.stdin and child.stdout.readline() == "holding\n"
        with remote.open(address, folder=root, limit=2 * shard_bytes) as pack:
            for sample in range(10, 60):
                assert pack[sample]["key"] == f"k{sample}"
                assert "s-0.h5" in kept() and len(kept()) <= 2
            with pytest.raises(SpaceError, match=f"held by process {child.pid}; close there"):
                pack[10:30]
        child.stdin.write("\n")
        child.stdin.close()
        assert child.stdout.readline() == "done\n"
    with remote.open(address, folder=root, limit=2 * shard_bytes) as pack:
        pack[10], pack[20]
        assert kept() == {"s-1.h5", "s-2.h5"}  # the oldest went, now that nobody holds it


def test_a_killed_process_leaves_only_a_part_and_holds_nothing(
    address: str, root: Path, server: Server, shard_bytes: int, kept: Callable[[], set[str]]
) -> None:
    server.routes["/train/s-1.h5"].stall_after = 5000
    with start(address, root, shard_bytes, "get") as child:
        server.stalled.wait(30)
        child.send_signal(signal.SIGKILL)
    assert kept() == set()
    assert [path.name for path in root.glob("packs/*/s-*")] == ["s-1.h5.part"]
    server.routes["/train/s-1.h5"].stall_after = None
    with remote.open(address, folder=root, limit=shard_bytes) as pack:
        assert pack[0]["key"] == "k0"  # nothing is reserved for the dead
        assert pack[10]["key"] == "k10"
    assert kept() == {"s-1.h5"}
    assert not list(root.glob("held/*")) and not list(root.glob("**/*.part"))


def test_files_that_dsets_did_not_put_there_stay(
    address: str, root: Path, shard_bytes: int, kept: Callable[[], set[str]]
) -> None:
    with remote.open(address, folder=root, limit=shard_bytes) as pack:
        pack[0]
        mine = [pack.path / "s-9.h5", pack.path / "notes.txt", root / "more"]
        mine += [root / "held" / name for name in ("notes.json", "a-1.json", "1-2.json", "my.wish")]
        for path in mine:
            path.write_bytes(bytes(10 * shard_bytes))
        for sample in (10, 20, 30):
            pack[sample]
        assert kept() == {"s-3.h5", "s-9.h5"}
        assert all(path.exists() for path in mine)


def test_a_folder_in_the_place_of_a_shard_is_told_and_stays(address: str, root: Path) -> None:
    with remote.open(address, folder=root) as pack:
        for name in ("s-1.h5", "s-2.h5.part"):
            (pack.path / name / "mine").mkdir(parents=True)
        for sample, name in ((10, "s-1.h5"), (20, "s-2.h5.part")):
            with pytest.raises(FetchError, match="move it away") as told:
                pack[sample]
            assert told.value.where == str(pack.path / name)
            assert (pack.path / name / "mine").is_dir()
        assert pack[0]["key"] == "k0"


def test_arrays_that_the_cache_cannot_hold_are_refused_with_what_helps(
    address: str, root: Path, shard_bytes: int, server: Server
) -> None:
    with remote.open(address, folder=root, limit=3 * shard_bytes) as pack:
        for _ in range(2):
            with pytest.raises(SpaceError, match=r"needed at once") as told:
                pack.arrays("label")
            assert "pack[a:b]" in str(told.value.remedy)
            assert "batch" not in str(told.value) and "lanes" not in str(told.value)
        assert not [asked for asked in server.requests if "s-" in asked.path]
        with pytest.raises(SpaceError, match="shorter slices"):
            pack[:]
        assert pack[:20]["label"][19] == 19


@pytest.mark.parametrize(
    ("text", "size"), [("", None), ("5", 5), ("200G", 200 << 30), ("1 kib", 1024), ("2TB", 2 << 40)]
)
def test_sizes_are_read(text: str, size: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSETS_CACHE_SIZE", text)
    assert cache.limit() == size


def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSETS_CACHE_SIZE", "lots")
    with pytest.raises(UsageError, match="DSETS_CACHE_SIZE"):
        cache.limit()


def test_a_forked_child_reads_and_fetches_for_itself(address: str, root: Path) -> None:
    with remote.open(address, folder=root) as pack:
        pack[0]
        child = os.fork()
        if not child:
            good = pack[1]["key"] == "k1" and pack[11]["key"] == "k11"
            os._exit(0 if good else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert pack[2]["key"] == "k2"


def test_a_child_that_is_forked_while_shards_are_fetched_does_so_for_itself(
    address: str, server: Server, root: Path
) -> None:
    route = server.routes["/train/s-0.h5"]
    route.stall_after = 5000
    with remote.open(address, folder=root, patience=Patience(read_s=30, pause_s=0)) as pack:
        pack[20]  # what is mapped is the child's, too
        fetching = threading.Thread(target=pack.__getitem__, args=(0,))
        fetching.start()
        assert server.stalled.wait(30)
        child = os.fork()
        if not child:
            signal.alarm(30)  # ends a child that waits for ever
            with suppress(Exception):
                if [pack[number]["key"] for number in (50, 1, 21)] == ["k50", "k1", "k21"]:
                    os._exit(0)
            os._exit(1)
        route.stall_after = None
        server.release.set()
        fetching.join()
        assert os.waitpid(child, 0)[1] == 0


def test_arrays_that_hold_all_shards_are_those_of_a_forked_child_too(
    address: str, local: Pack, root: Path
) -> None:
    with remote.open(address, folder=root) as pack:
        far, near = pack.arrays("image"), local.arrays("image")
        child = os.fork()
        if not child:
            os._exit(0 if all(map(np.array_equal, far, near)) and pack[7]["key"] == "k7" else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_processes_that_all_stream_under_one_limit_share_it(
    address: str, root: Path, shard_bytes: int
) -> None:
    """Each needs up to four shards for a batch, so they must take turns."""
    limit = 5 * shard_bytes
    children = [start(address, root, limit, "stream") for _ in range(3)]
    while any(child.poll() is None for child in children):
        with locks.holding(root, folder=True):  # nobody removes or adds a shard meanwhile
            taken = [path.stat().st_size for path in root.glob("packs/*/s-*.h5")]
        assert sum(taken) <= limit
    for child in children:
        assert child.communicate()[0].split() == ["done"]
        assert child.returncode == 0
    assert not list(root.glob("held/*")) and not list(root.glob("**/*.part"))


def test_a_stream_whose_consumer_pauses_gives_its_room_to_others(
    address: str, root: Path, shard_bytes: int
) -> None:
    with start(address, root, 5 * shard_bytes, "pause") as pausing:
        assert pausing.stdout and pausing.stdin and pausing.stdout.readline() == "pausing\n"
        with start(address, root, 5 * shard_bytes, "stream") as other:
            assert other.communicate()[0].split() == ["done"]
        pausing.stdin.write("\n")
        pausing.stdin.close()
        assert pausing.stdout.read().split() == ["done"]


def test_parts_that_were_left_count_and_go_when_room_is_needed(
    address: str, root: Path, server: Server, shard_bytes: int
) -> None:
    server.routes["/train/s-1.h5"].stall_after = 5000
    with start(address, root, 2 * shard_bytes, "get") as child:
        assert server.stalled.wait(30)
        part = next(root.glob("packs/*/s-1.h5.part"))
        while part.stat().st_size < 5000:  # what was sent is on its way there
            assert child.poll() is None
        child.send_signal(signal.SIGKILL)
    mine = next(root.glob("packs/*")) / "s-9.h5.part"  # of somebody else: never begun here
    mine.write_bytes(bytes(100))
    with remote.open(address, folder=root, limit=2 * shard_bytes) as pack:
        pack[0]
        assert list(root.glob("packs/*/s-1.h5.part"))
        pack[20], pack[30]
        assert not list(root.glob("packs/*/*s-1.h5*"))
    assert mine.exists()


def test_a_part_of_a_fetch_that_was_called_off_counts_too(
    address: str, root: Path, server: Server, shard_bytes: int
) -> None:
    route = server.routes["/train/s-1.h5"]
    route.cut_after = 5000
    patience = Patience(tries=1)
    with remote.open(address, folder=root, limit=shard_bytes, patience=patience) as pack:
        with pytest.raises(FetchError):
            pack[10]
        assert list(root.glob("packs/*/s-1.h5.part"))
        assert pack[0]["key"] == "k0"
        assert not list(root.glob("packs/*/*s-1.h5*"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsets.remote.places.OTHERS_S", 0.2)


@pytest.mark.usefixtures("impatient")
def test_a_pack_that_was_dropped_holds_nothing(address: str, root: Path, shard_bytes: int) -> None:
    pack = remote.open(address, folder=root, limit=2 * shard_bytes)
    stream = batches(pack, 5, shuffle=False)
    next(iter(stream))
    assert list(root.glob("held/*"))
    del pack, stream
    gc.collect()
    assert not list(root.glob("held/*"))
    assert not [link for link in _open_files() if link.startswith(str(root))]
    with remote.open(address, folder=root, limit=shard_bytes) as other:
        assert other[59]["key"] == "k59"


def _open_files() -> list[str]:
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return found


def test_a_pack_that_is_dropped_while_the_folder_is_locked_waits_for_nobody(
    address: str, root: Path
) -> None:
    pack = remote.open(address, folder=root)
    pack[0]
    with locks.holding(root, folder=True):
        del pack
        gc.collect()
    assert len(list(root.glob("held/*"))) == 1
    other = remote.open(address, folder=root)
    other[0]
    assert len(list(root.glob("held/*"))) == 1  # its own
    other.close()
    assert not list(root.glob("held/*"))


@pytest.mark.usefixtures("impatient")
def test_arrays_of_a_pack_that_was_dropped_hold_its_shards(
    address: str, root: Path, kept: Callable[[], set[str]]
) -> None:
    labels = remote.open(address, folder=root).arrays("label")
    gc.collect()
    with remote.open(address, folder=root, limit=1) as other, pytest.raises(SpaceError):
        other[0]
    assert len(kept()) == 6 and np.concatenate(labels).tolist() == list(range(60))
    del labels
    gc.collect()
    assert not list(root.glob("held/*"))


@pytest.mark.usefixtures("impatient")
def test_an_idle_pack_of_the_same_process_gives_way(
    address: str, root: Path, shard_bytes: int
) -> None:
    one, other = (remote.open(address, folder=root, limit=shard_bytes) for _ in range(2))
    with one, other:
        for sample in (0, 10, 20):
            assert one[sample]["key"] == f"k{sample}"
            assert other[sample + 30]["key"] == f"k{sample + 30}"


def test_a_pack_of_the_same_process_gives_way_only_where_no_stream_runs_over_it(
    address: str, root: Path, shard_bytes: int, kept: Callable[[], set[str]]
) -> None:
    one, other = (remote.open(address, folder=root, limit=2 * shard_bytes) for _ in range(2))
    with one, other:
        one[0]
        one.streamed(1)
        other[10], other[20]
        assert kept() == {"s-0.h5", "s-2.h5"}
        one.streamed(-1)
        other[30]
        assert kept() == {"s-2.h5", "s-3.h5"}


def test_a_stream_that_has_ended_counts_no_more(address: str, root: Path) -> None:
    with remote.open(address, folder=root) as pack:
        ahead = pack.ahead()
        assert pack.streams == 1
        ahead.close()
        ahead.close()
        assert pack.streams == 0


@pytest.mark.usefixtures("impatient")
def test_no_room_because_of_a_pack_of_the_same_process_says_so(
    address: str, root: Path, shard_bytes: int
) -> None:
    one, other = (remote.open(address, folder=root, limit=shard_bytes) for _ in range(2))
    with one, other, one.holding(np.array([0])):
        with pytest.raises(SpaceError, match=r"another pack of this process; close there .*close"):
            other[10]
        with pytest.raises(SpaceError, match=r"needed at once.*fewer lanes"):
            other[10:30]


def test_a_process_that_exits_without_closing_leaves_no_list(address: str, root: Path) -> None:
    code = CHILD.replace("pack.close()", "")
    for what in ("get", "stream"):
        command = [sys.executable, "-c", code, address, str(root), "0", what]
        assert subprocess.run(command, check=True, capture_output=True).stderr == b""
        assert not list(root.glob("held/*"))


def test_a_shard_that_the_cache_lets_go_of_while_it_is_looked_at_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shard"
    path.write_bytes(bytes(4096))
    space = Reserved(4096)
    space.fill(path)
    os.utime(path, ns=(0, 0))
    with pytest.raises(PackError, match="changed or replaced"):
        space.check()
    look = Stamp.check

    def looked_at_too_late(stamp: Stamp, failed: bool) -> None:
        space.empty()  # as another thread would for room
        look(stamp, failed)

    monkeypatch.setattr(Stamp, "check", looked_at_too_late)
    space.check()
    space.check()  # nor is one that is not there at all


def test_an_epoch_ends_though_most_shards_are_no_longer_in_the_cache(
    address: str, root: Path, local: Pack
) -> None:
    shard_bytes = max(shard.bytes for shard in local.index.shards)
    with (
        remote.open(address, folder=root, limit=2 * shard_bytes) as pack,
        batches(pack, 5, shuffle=False) as stream,
    ):
        for _ in range(2):
            assert sum(len(batch.index) for batch in stream) == 60
        assert len(list(root.glob("packs/*/s-*.h5"))) <= 2
