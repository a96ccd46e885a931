"""Locks on what is being written: held by one at a time, while others rename it away."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from dsets import locks
from dsets.errors import BusyError


def test_a_folder_that_its_holder_renames_is_made_again_by_the_next(tmp_path: Path) -> None:
    part, rounds, failures = tmp_path / "pack.part", 300, list[BaseException]()
    inside = threading.Semaphore(1)

    def work(number: int) -> None:
        try:
            for i in range(rounds):
                with locks.holding(part, folder=True):
                    assert inside.acquire(blocking=False), "two hold it at once"
                    inside.release()
                    part.rename(tmp_path / f"{number}-{i}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(list(tmp_path.iterdir())) == 4 * rounds


def test_who_does_not_wait_is_told_that_it_is_busy(tmp_path: Path) -> None:
    with (
        locks.holding(tmp_path / "file.part"),
        pytest.raises(BusyError, match="another process"),
        locks.holding(tmp_path / "file.part", wait=False),
    ):
        pass


def test_a_lock_ends_though_a_child_that_was_forked_meanwhile_lives_on(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    with locks.holding(tmp_path / "file.part"):
        child = os.fork()
        if not child:
            os.close(theirs)
            os.read(ours, 1)  # until the parent closes its end
            os._exit(0)
        with pytest.raises(BusyError), locks.holding(tmp_path / "file.part", wait=False):
            pass
    try:
        with locks.holding(tmp_path / "file.part", wait=False):
            pass
    finally:
        os.close(theirs)
        os.close(ours)
        assert os.waitpid(child, 0)[1] == 0


def test_a_child_that_leaves_the_block_it_was_forked_in_does_not_unlock_its_parents_file(
    tmp_path: Path,
) -> None:
    lock = locks.holding(tmp_path / "file.part")
    with lock:
        child = os.fork()
        if not child:
            lock.__exit__(None, None, None)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(BusyError), locks.holding(tmp_path / "file.part", wait=False):
            pass


def test_a_file_where_a_folder_must_be_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "pack.part").touch()
    with pytest.raises(NotADirectoryError), locks.holding(tmp_path / "pack.part", folder=True):
        pass
