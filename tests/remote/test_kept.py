"""What we put into the cache is found, however it changes between two looks."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest

from dsets.fetch import receipts
from dsets.remote.kept import Kept

PACK = "a" * 64


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A pack's folder in a cache with three shards of ours, and what is not ours."""
    folder = tmp_path / "packs" / PACK
    folder.mkdir(parents=True)
    for name in ("s-0.h5", "s-1.h5", "s-2.h5"):
        put(folder / name)
    (folder / "notes.txt").write_text("mine")
    (folder / ".s-9.h5.receipt.json").write_text("{}")
    (tmp_path / "packs" / "a file").write_text("mine")
    return folder


def put(path: Path, data: bytes = b"data") -> None:
    path.write_bytes(data)
    receipts.write(path, receipts.write_down(path.stat(), {"sha256": "0" * 64}))


def names(found: dict[str, os.stat_result]) -> list[str]:
    return sorted(name.removeprefix(f"{PACK}/") for name in found)


def test_a_cache_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert Kept(tmp_path / "none").look() == {}


def test_those_with_a_receipt_that_holds_are_ours(tmp_path: Path, shards: Path) -> None:
    found = Kept(tmp_path).look()
    assert names(found) == ["s-0.h5", "s-1.h5", "s-2.h5"]
    assert found[f"{PACK}/s-0.h5"].st_size == 4


def test_what_came_went_or_changed_since_the_last_look_is_seen(
    tmp_path: Path, shards: Path
) -> None:
    kept = Kept(tmp_path)
    kept.look()
    put(shards / "s-3.h5")
    (shards / "s-0.h5").unlink()
    (shards / "s-1.h5").write_bytes(b"somebody else's")
    assert names(kept.look()) == ["s-2.h5", "s-3.h5"]
    put(shards / "s-1.h5", b"ours again")
    receipts.forget(shards / "s-2.h5")
    assert names(kept.look()) == ["s-1.h5", "s-3.h5"]


def test_a_link_in_the_place_of_a_shard_is_not_ours(tmp_path: Path, shards: Path) -> None:
    (shards / "s-0.h5").rename(tmp_path / "elsewhere")
    (shards / "s-0.h5").symlink_to(tmp_path / "elsewhere")
    assert names(Kept(tmp_path).look()) == ["s-1.h5", "s-2.h5"]


def test_a_receipt_is_read_once(tmp_path: Path, shards: Path) -> None:
    kept = Kept(tmp_path)
    with mock.patch.object(receipts, "remembered", wraps=receipts.remembered) as reading:
        kept.look()
        kept.look()
        assert reading.call_count == 4
        put(shards / "s-1.h5", b"again")
        kept.look()
        assert reading.call_count == 5


def test_what_cannot_be_read_is_passed_over(tmp_path: Path, shards: Path) -> None:
    (shards / ".loop.receipt.json").symlink_to(".loop.receipt.json")
    (tmp_path / "packs" / "loop").symlink_to("loop")
    assert names(Kept(tmp_path).look()) == ["s-0.h5", "s-1.h5", "s-2.h5"]
