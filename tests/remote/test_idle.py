"""The only user of a cache looks through it once, and knows it as well as if it always did."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections import Counter
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets import locks, remote
from dsets.fetch import receipts
from dsets.fetch.part import part_path
from dsets.remote import parts
from dsets.remote.cache import Cache
from dsets.remote.held import Held
from dsets.remote.kept import Kept

PACK = "a" * 64
LIMIT = 50
OURS = ("have", "have", "have", "take", "drop", "fetch", "part", "discard", "other", "statistics")
DEEDS = (*OURS, "remove", "spoil")


def name(number: int) -> str:
    return f"{PACK}/s-{number}.h5"


def size(number: int) -> int:
    return 5 + number


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    receipts.write(path, receipts.write_down(path.stat(), {"sha256": "0" * 64}))


class User:
    """Does what it is told in a cache, and remembers what it holds."""

    def __init__(self, root: Path, forgetful: bool) -> None:
        self.cache = Cache(root, LIMIT)
        self.forgetful = forgetful
        self.held: Counter[int] = Counter()

    def do(self, deed: str, number: int) -> bool | None:
        if self.forgetful:
            self.cache._idle.forget()
        cache, path, ours = self.cache, self.cache.path(name(number)), self.held[number] > 0
        if deed == "take":
            taken = cache.take(name(number), size(number))
            self.held[number] += taken
            return taken
        if deed == "have" and not ours and cache.take(name(number), size(number)):
            put(path, b"." * size(number))
            cache.drop(name(number))
        elif deed == "drop" and ours:
            cache.drop(name(number))
            self.held[number] -= 1
        elif deed == "fetch" and ours:
            part_path(path).unlink(missing_ok=True)
            put(path, b"." * size(number))
        elif deed == "part" and ours and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part_path(path).write_bytes(b"." * (size(number) - 2))
        elif deed == "discard":
            cache.discard(name(number))
        elif deed == "other":
            other = Cache(cache.root, None)
            other.take(name(number), size(number))
            put(path, b"." * size(number))
            other.close()
        elif deed == "remove":
            path.unlink(missing_ok=True)
        elif deed == "spoil" and path.exists():
            path.write_bytes(b"mine")
        elif deed == "statistics":
            put(cache.path(f"{PACK}/statistics.h5"), b"...")
            cache.came(f"{PACK}/statistics.h5")
        return None

    def files(self) -> dict[str, int]:
        folder = self.cache.root / "packs" / PACK
        return {path.name: path.stat().st_size for path in sorted(folder.glob("*"))}

    def theirs(self) -> list[str]:
        return [one for one, bytes in self.files().items() if bytes == len(b"mine")]

    def ours(self) -> dict[str, int]:
        """Whole files of ours, by a look of its own."""
        return {one: at.st_size for one, at in Kept(self.cache.root).look().items()}


def deeds_of(kinds: tuple[str, ...]) -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 7)), max_size=40)


@given(deeds_of(OURS))
def test_what_gives_way_is_what_a_look_through_the_whole_cache_finds(
    deeds: list[tuple[str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as another:
        users = User(Path(one), False), User(Path(another), True)
        for deed, number in deeds:
            first, second = (user.do(deed, number) for user in users)
            assert first == second
            assert users[0].files() == users[1].files()


@given(deeds_of(DEEDS))
def test_the_size_is_kept_and_nothing_goes_that_is_held_or_not_ours(
    deeds: list[tuple[str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        user = User(Path(folder), False)
        for deed, number in deeds:
            before, theirs = user.ours(), user.theirs()
            done = user.do(deed, number)
            if deed != "take":
                continue
            kept = user.ours()
            held = {name(one): size(one) for one, times in user.held.items() if times}
            assert not (before.keys() - kept.keys()) & held.keys()
            assert user.theirs() == theirs
            assert not done or sum((kept | held).values()) <= LIMIT


def test_the_only_user_looks_once_and_again_when_another_has_come(tmp_path: Path) -> None:
    cache = Cache(tmp_path, LIMIT)
    with mock.patch.object(Kept, "look", autospec=True, side_effect=Kept.look) as look:
        for number in range(6):
            assert cache.take(name(number), 10)
            put(cache.path(name(number)), b"." * 10)
            cache.drop(name(number))
        assert look.call_count == 1
        assert not cache.path(name(0)).exists() and cache.path(name(1)).exists()
        other = Cache(tmp_path, LIMIT)
        assert other.take(name(1), 10)
        looks = look.call_count
        assert cache.take(name(6), 10)
        assert look.call_count == looks + 1
        assert cache.path(name(1)).exists() and not cache.path(name(2)).exists()


def fill(cache: Cache) -> None:
    """Five files of ten bytes, held by nobody: the cache is full, and has been looked through."""
    for number in range(5):
        assert cache.take(name(number), 10)
        put(cache.path(name(number)), b"." * 10)
        cache.drop(name(number))


def test_what_another_has_left_counts(tmp_path: Path) -> None:
    cache = Cache(tmp_path, LIMIT)
    fill(cache)
    other = Cache(tmp_path, None)
    for number in (6, 7):
        assert other.take(name(number), 10)
        put(cache.path(name(number)), b"." * 10)
    other.close()
    assert cache.take(name(8), 10)
    assert sorted(Kept(tmp_path).look()) == [name(3), name(4), name(6), name(7)]


def test_another_who_came_in_the_same_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    cache = Cache(tmp_path, LIMIT)
    fill(cache)
    folder = tmp_path / "held"
    tick = folder.stat()
    other = Cache(tmp_path, LIMIT)
    assert other.take(name(0), 10)
    os.utime(folder, ns=(tick.st_atime_ns, tick.st_mtime_ns))
    assert cache.take(name(8), 10)
    assert cache.path(name(0)).exists() and not cache.path(name(1)).exists()
    other.close()


def test_what_somebody_wrote_over_since_the_look_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path, LIMIT)
    fill(cache)
    cache.path(name(0)).write_bytes(b"mine")
    assert cache.take(name(8), 20)
    assert cache.path(name(0)).read_bytes() == b"mine"


def test_what_the_disk_has_no_room_to_write_down_is_not_held(tmp_path: Path) -> None:
    cache = Cache(tmp_path, LIMIT)
    assert cache.take(name(0), 10)
    full = mock.patch.object(Held, "write", side_effect=OSError(errno.ENOSPC, "no space"))
    with full, pytest.raises(OSError, match="no space"):
        cache.take(name(1), 30)
    assert cache.take(name(2), 40)
    assert not cache.take(name(1), 30)


def test_a_file_counts_though_what_was_to_be_written_down_of_it_was_not(tmp_path: Path) -> None:
    cache = Cache(tmp_path, LIMIT)
    fill(cache)
    assert cache.take(name(5), 10)
    put(cache.path(name(5)), b"." * 10)
    full = mock.patch.object(parts, "remember", side_effect=OSError(errno.ENOSPC, "no space"))
    with full, pytest.raises(OSError, match="no space"):
        cache.drop(name(5))
    assert cache.take(name(6), 40)
    assert sorted(Kept(tmp_path).look()) == [name(5)]


def test_what_is_held_already_waits_for_nobody_who_makes_room(tmp_path: Path) -> None:
    cache = Cache(tmp_path, LIMIT)
    assert cache.take(name(0), 10)
    with locks.holding(tmp_path, folder=True):
        slow = threading.Thread(target=cache.take, args=(name(1), 10))
        slow.start()
        assert cache.take(name(0), 10)
        cache.drop(name(0))
        assert slow.is_alive()
    slow.join()
    cache.close()
    assert not list(tmp_path.glob("held/*"))


@pytest.mark.parametrize("threads", [2, 8])
def test_threads_that_begin_at_once_are_one_user(tmp_path: Path, threads: int) -> None:
    cache = Cache(tmp_path, LIMIT)
    together = threading.Barrier(threads)

    def work(number: int) -> None:
        together.wait()
        for _ in range(20):
            assert cache.take(name(number % 4), 10)
            cache.drop(name(number % 4))
        assert cache.take(name(number % 4), 10)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert len(list(tmp_path.glob("held/*.json"))) == 1
    for number in range(threads):
        cache.drop(name(number % 4))
    assert next(tmp_path.glob("held/*.json")).read_text() == "{}"


def test_statistics_that_another_user_fetched_count(
    address: str, root: Path, shard_bytes: int
) -> None:
    size = 3 * shard_bytes
    with (
        remote.open(address, folder=root, limit=size) as pack,
        remote.open(address, folder=root, limit=size) as other,
    ):
        for number in (0, 10, 20):
            assert pack[number]["key"] == f"k{number}"
        assert other.statistics is not None
        for number in (30, 40):
            assert pack[number]["key"] == f"k{number}"
        assert sum(at.st_size for at in Kept(root).look().values()) <= size


def test_the_statistics_of_a_pack_count_though_they_need_no_place(
    address: str, root: Path, shard_bytes: int
) -> None:
    with remote.open(address, folder=root, limit=3 * shard_bytes) as pack:
        for number in (0, 10, 20):
            assert pack[number]["key"] == f"k{number}"
        assert pack.statistics is not None
        for number in (30, 40):
            assert pack[number]["key"] == f"k{number}"
        assert sum(at.st_size for at in Kept(root).look().values()) <= 3 * shard_bytes
