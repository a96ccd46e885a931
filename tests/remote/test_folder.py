"""A cache that cannot be written, and one that somebody removes."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import remote
from dsets.errors import DsetsError, FetchError
from dsets.pack import Pack
from dsets.stream import Window, batches
from tests.remote.conftest import QUICK
from tests.server import Server

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@pytest.fixture
def read_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the cache read-only, for root, too, as far as the module ``os`` goes."""

    def below(path: Any) -> bool:
        return isinstance(path, str | Path) and Path(path).is_relative_to(root)

    def refusing(name: str, changes: Callable[..., bool]) -> None:
        real = getattr(os, name)

        def refuse(path: Any, *args: Any, **options: Any) -> Any:
            if below(path) and changes(path, *args):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return real(path, *args, **options)

        monkeypatch.setattr(os, name, refuse)

    def begin() -> None:
        access = os.access
        refusing("open", lambda path, flags, *_: bool(flags & WRITING))
        refusing("mkdir", lambda path, *_: not Path(path).exists())
        for name in ("unlink", "replace", "utime"):
            refusing(name, lambda *_: True)
        monkeypatch.setattr(
            os,
            "access",
            lambda path, mode: not (below(path) and mode & os.W_OK) and access(path, mode),
        )

    return begin


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("limit", [None, 10])
def test_a_complete_cache_that_cannot_be_written_is_used(
    address: str,
    root: Path,
    local: Pack,
    server: Server,
    offline: bool,
    limit: int | None,
    monkeypatch: pytest.MonkeyPatch,
    read_only: Callable[[], None],
) -> None:
    with remote.open(address, folder=root) as pack:
        pack[:]
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    read_only()
    if offline:
        monkeypatch.setenv("DSETS_OFFLINE", "1")
    limit = limit and limit * max(shard.bytes for shard in local.index.shards)
    with remote.open(address, folder=root, limit=limit) as pack:
        assert np.array_equal(pack[33]["image"], local[33]["image"])
        with batches(pack, 7, shuffle=Window(2, 4)) as stream:
            for _ in range(2):
                assert sum(len(batch.index) for batch in stream) == 60
    assert all(len(server.asked(f"/train/s-{number}.h5")) == 1 for number in range(6))
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_shard_that_a_read_only_cache_lacks_is_told_with_the_remedy(
    address: str, root: Path, read_only: Callable[[], None]
) -> None:
    with remote.open(address, folder=root, patience=QUICK) as pack:
        pack[0]
    read_only()
    with remote.open(address, folder=root, patience=QUICK) as pack:
        assert pack[1]["key"] == "k1"
        with pytest.raises(FetchError, match=r"Read-only.*DSETS_CACHE=…"):
            pack[59]


@pytest.mark.parametrize("limit", [None, 3])
def test_a_stream_goes_on_when_its_cache_is_removed(
    address: str, root: Path, shard_bytes: int, limit: int | None
) -> None:
    limit = limit and limit * shard_bytes
    with (
        remote.open(address, folder=root, limit=limit, patience=QUICK) as pack,
        batches(pack, 5, shuffle=False) as stream,
    ):
        seen: list[int] = []
        for _ in range(9):
            with suppress(DsetsError):  # what is being fetched just then ends in an error of ours
                for batch in stream:
                    seen += batch.index.tolist()
                    if len(seen) == 15:
                        shutil.rmtree(root, ignore_errors=True)
        assert seen[:180] == 3 * list(range(60))
        # Without a limit all may have been held before, and nothing to be written down since.
        assert list(root.glob("held/*.json")) or limit is None


def test_a_cache_that_cannot_be_made_is_told_with_the_remedy(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSETS_CACHE", "/dev/null/nope")
    with pytest.raises(FetchError, match=r"/dev/null.*the cache cannot be used.*DSETS_CACHE=…"):
        remote.open(address)


def test_an_index_that_is_in_the_cache_is_named_when_nobody_answers(
    address: str, server: Server, root: Path
) -> None:
    remote.open(address, folder=root).close()
    server.routes.clear()
    with pytest.raises(FetchError, match="with DSETS_OFFLINE=1 what is in the cache"):
        remote.open(address, folder=root)
    with pytest.raises(FetchError, match=r"read there$"):
        remote.open(address + "2", folder=root)
