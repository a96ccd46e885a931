"""Training on several ranks: one of them is killed, and fewer or more of them go on. Promise 2."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsets.pack import Pack
from dsets.stream import Window

distributed = pytest.importorskip("torch.distributed")
if not distributed.is_available() or not distributed.is_gloo_available():
    pytest.skip("torch was built without gloo", allow_module_level=True)

MakePack = Callable[..., Pack]
EPOCHS = 2
KILLED_AT = 3  # which of rank 1's batches of the first run, taken and not trained on
BATCH = {3: 16, 2: 12, 4: 10}  # by world size; none divides the samples


def _train(pack: Pack, folder: Path, worlds: tuple[int, int], shuffle: Any) -> list[list[int]]:
    """Two runs, the second from what the first saved; the exit codes of their ranks."""
    first, second = worlds
    order = [shuffle.lanes, shuffle.window] if isinstance(shuffle, Window) else []
    runs = [(first, BATCH[first], KILLED_AT), (second, BATCH[second], None)]
    argument = json.dumps([str(pack.path), str(folder), EPOCHS, order, runs])
    command = [sys.executable, str(Path(__file__).with_name("ranks.py")), argument]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    codes: list[list[int]] = json.loads(ended.stdout)
    return codes


def _seen(folder: Path, world: int) -> list[tuple[int, int, list[int]]]:
    """(epoch, position, samples) of every batch that any rank took."""
    files = folder.glob(f"seen-{world}-*")
    return [tuple(json.loads(line)) for file in files for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("shuffle", "worlds"),
    [(True, (3, 2)), (Window(lanes=6, window=8), (2, 4))],
    ids=["fewer ranks", "more ranks, window order"],
)
def test_promise_2_a_rank_is_killed_and_another_number_of_ranks_goes_on(
    make_pack: MakePack, tmp_path: Path, shuffle: Any, worlds: tuple[int, int]
) -> None:
    pack = make_pack(101)
    killed, others = _train(pack, tmp_path, worlds, shuffle)
    assert killed[1] == -signal.SIGKILL and all(killed)  # the others fail when they need it
    assert not any(others)
    taken, resumed = (_seen(tmp_path, world) for world in worlds)
    stopped = min(batch[:2] for batch in resumed)
    assert (0, 0) < stopped <= max(batch[:2] for batch in taken) < (1, 0)  # saved in mid-epoch
    done = [batch for batch in taken if batch[:2] < stopped] + resumed
    counts = Counter((epoch, sample) for epoch, _, samples in done for sample in samples)
    assert counts == Counter((epoch, sample) for epoch in range(EPOCHS) for sample in range(101))
