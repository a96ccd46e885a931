"""Looking through what the user named: everything once, and nothing that can hang or hurt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dsets import store
from dsets.adopt.walk import Walk


def names(walk: Walk) -> list[str]:
    return sorted(seen.name for seen in walk)


def test_links_that_lead_in_circles_end(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "a" / "file").touch()
    assert names(Walk([tmp_path, tmp_path / "a", tmp_path / "a" / "b" / "up"])) == ["file"]


def test_a_folder_reached_by_a_link_too_counts_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "file").touch()
    (tmp_path / "a").symlink_to("z")
    assert [seen.folder for seen in Walk([tmp_path])] == [str(tmp_path / "z")]


def test_pipes_and_links_to_nowhere_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert names(Walk([tmp_path])) == []
    walk = Walk([tmp_path / "pipe"])
    assert names(walk) == []
    assert "neither a file nor a folder" in walk.notes[0]
    walk = Walk([tmp_path / "dangling"])
    assert names(walk) == []
    assert "dangling: a link to nowhere" in walk.notes[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_noted(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    walk = Walk([tmp_path])
    assert names(walk) == []
    assert "cannot be read" in walk.notes[0]


def test_the_store_is_left_out_however_it_is_reached(tmp_path: Path) -> None:
    raw = store.raw("some")
    raw.mkdir(parents=True)
    (raw / "file").touch()
    (tmp_path / "to the store").symlink_to(raw)
    (tmp_path / "into it").symlink_to(raw / "file")
    (tmp_path / "mine").touch()
    (raw / "link").symlink_to(tmp_path / "mine")
    assert names(Walk([tmp_path])) == ["mine"]
    for path in (raw, raw / "file", raw / "link", tmp_path / "into it", store.home() / "raw"):
        walk = Walk([path])
        assert names(walk) == []
        assert "lies in the store already" in walk.notes[0]


def test_names_that_are_no_text_are_walked_over(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff\n\x1b[31m"
    os.mkdir(odd)
    with open(odd + b"/file", "w"):
        pass
    assert names(Walk([tmp_path])) == ["file"]
