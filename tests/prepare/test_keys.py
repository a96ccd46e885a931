"""The keys of a split: counted, told apart, handed out by shard, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsets import readers
from dsets.errors import DataError, PrepareError
from dsets.manifest import Source
from dsets.prepare import keys
from dsets.prepare.planning import PackPlan


def planned(tiny: Any, names: Sequence[str], rows: int, monkeypatch: Any, piece: int) -> PackPlan:
    """A plan of so many samples, whose reader has these keys, some at a time."""
    plan: PackPlan = tiny.plan().packs[0]
    split = replace(plan.split, samples=rows)

    def pieces(source: Source) -> Iterator[Sequence[str]]:
        for start in range(0, len(names), piece):
            yield names[start : start + piece]
            yield []

    monkeypatch.setattr(readers, "keys", pieces)
    return replace(plan, source=replace(plan.source, split=split))


@pytest.mark.parametrize("sorted_at_a_time", [3, 1000])
def test_keys_that_differ_pass_and_leave_nothing(
    tiny: Any, monkeypatch: Any, tmp_path: Path, sorted_at_a_time: int
) -> None:
    monkeypatch.setattr(keys, "_SORTED", sorted_at_a_time)
    monkeypatch.setattr(keys, "_SPOOLED", 100)  # so that they go to disk
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    keys.check(planned(tiny, [f"k{n}" for n in range(100)], 100, monkeypatch, 7), scratch)
    assert os.listdir(scratch) == []


@pytest.mark.parametrize("sorted_at_a_time", [3, 1000])
@pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 99), (41, 77)])
def test_two_samples_of_one_key_are_found_however_far_apart(
    tiny: Any, monkeypatch: Any, tmp_path: Path, sorted_at_a_time: int, first: int, second: int
) -> None:
    monkeypatch.setattr(keys, "_SORTED", sorted_at_a_time)
    names = [f"k{n}" for n in range(100)]
    names[second] = names[first]
    twice = (
        rf"two samples have one key; .*, got .k{first}. in row {first}\b.* and in row {second}\b"
    )
    with pytest.raises(DataError, match=twice):
        keys.check(planned(tiny, names, 100, monkeypatch, 7), tmp_path)


@pytest.mark.parametrize("rows", [99, 101])
def test_another_number_than_the_manifest_says_is_refused(
    tiny: Any, monkeypatch: Any, tmp_path: Path, rows: int
) -> None:
    plan = planned(tiny, [f"k{n}" for n in range(100)], rows, monkeypatch, 7)
    with pytest.raises(DataError, match=f"expected {rows}, got 100"):
        keys.check(plan, tmp_path)


def test_keys_come_by_shard_however_the_reader_hands_them_out(tiny: Any, monkeypatch: Any) -> None:
    names = [f"k{n}" for n in range(90)]
    for piece in (1, 7, 10, 90):
        plan = planned(tiny, names, 90, monkeypatch, piece)
        found = list(keys.by_shard(plan))
        assert [len(some) for some in found] == [len(plan.rows(n)) for n in range(plan.shards)]
        assert [key for some in found for key in some] == names


def test_a_table_that_has_become_shorter_is_told(tiny: Any, monkeypatch: Any) -> None:
    with pytest.raises(DataError, match="shorter"):
        list(keys.by_shard(planned(tiny, ["a", "b"], 90, monkeypatch, 1)))


def test_no_room_for_fingerprints_is_our_error(tiny: Any, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(keys, "_SPOOLED", 1)
    plan = planned(tiny, ["a", "b"], 2, monkeypatch, 1)
    with pytest.raises(PrepareError, match="cannot be written"):
        keys.check(plan, tmp_path / "absent")


def test_every_reader_gives_the_keys_of_its_table(tiny: Any) -> None:
    source = tiny.plan().packs[0].source
    table = readers.load(source.manifest.reader).table(source)
    assert [key for some in readers.keys(source) for key in some] == table["key"].tolist()
