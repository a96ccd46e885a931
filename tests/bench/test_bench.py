"""Measuring a stream: the figures hang together, whatever the machine's speed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import bench
from dsets.bench.process import queued
from dsets.bench.watch import Watch
from dsets.errors import UsageError
from dsets.field import Field
from dsets.pack import Pack
from dsets.stream import batches
from dsets.transforms import Flip
from tests import packs


@pytest.fixture
def opened(tmp_path: Path) -> Pack:
    fields = (Field("image", "uint8", (8, 8, 3)), Field("label", "int64", ()))
    keys = [f"train/{n:03d}" for n in range(400)]
    columns = {
        "image": np.random.default_rng(3).integers(0, 256, (400, 8, 8, 3), np.uint8),
        "label": np.arange(400) // 40,
    }
    return packs.written(tmp_path, fields, keys, columns)


def test_a_warm_report_adds_up(opened: Pack) -> None:
    report = bench.measure(opened, 32, [Flip()], seconds=0.05, threads=1)
    assert sum(report.shares.values()) == pytest.approx(1)
    assert min(report.shares.values()) >= 0
    assert report.rate == pytest.approx(report.samples / report.seconds)
    assert report.samples > 0 and report.first_batch > 0
    stored = opened.index.shards[0].bytes / 400
    assert report.stored_bytes_per_second == pytest.approx(report.rate * stored)
    assert 0 <= report.waiting <= 1
    assert report.waiting_at_80 is not None and 0 <= report.waiting_at_80 <= 1
    assert report.quality is not None and report.quality.displacement == pytest.approx(1, abs=0.2)
    assert report.quality.balance is not None
    assert report.threads == 1


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system cannot drop pages")
def test_a_cold_report_ends_with_the_epoch(opened: Pack) -> None:
    report = bench.measure(opened, 96, seconds=60, cold=True)
    assert report.samples == 400
    assert report.waiting_at_80 is None


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system cannot drop pages")
def test_a_cold_report_of_one_batch_counts_the_making_of_it(opened: Pack) -> None:
    before = time.process_time()
    report = bench.measure(opened, len(opened), seconds=60, cold=True)
    spent = report.samples / report.rate_per_core
    assert report.seconds / 1000 < spent <= time.process_time() - before


@pytest.mark.parametrize(("device", "found"), [("cpu", "[True]"), (None, "[False]")])
def test_torch_is_imported_for_a_device_alone_and_before_the_clock_starts(
    opened: Pack, device: str | None, found: str
) -> None:
    if device:
        pytest.importorskip("torch")
    script = """
import sys, time, types
from dsets import Pack, bench

def looked():
    imported.append("torch" in sys.modules)
    return time.perf_counter()

imported, clock = [], types.SimpleNamespace(**vars(time) | {"perf_counter": looked})
sys.modules["dsets.bench.measure"].time = clock
bench.measure(Pack.open(sys.argv[1]), 32, seconds=0.01, device=sys.argv[2] or None)
print(sorted(set(imported)))
"""
    command = [sys.executable, "-c", script, str(opened.path), device or ""]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == found, done.stderr


def test_cold_says_where_it_cannot(opened: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    with pytest.raises(UsageError, match="cannot drop pages"):
        bench.measure(opened, 96, cold=True)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_no_time_is_refused(opened: Pack, seconds: float) -> None:
    with pytest.raises(UsageError, match="bad seconds"):
        bench.measure(opened, 96, seconds=seconds)


def test_a_watch_tells_the_users_work_from_waiting_and_from_the_kernel(opened: Pack) -> None:
    def busy(batch: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(200):
            np.sort(np.arange(2000)[::-1])
        return batch

    with batches(opened, 100, transform=[busy]) as stream:
        watch = Watch(stream)
        for _ in stream:
            pass
    seconds = watch.seconds
    assert seconds["functions"] > seconds["kernel"] > 0
    assert seconds["device"] < seconds["functions"]


def test_watched_batches_are_those_of_the_stream(opened: Pack) -> None:
    with batches(opened, 64, seed=3, transform=[Flip()]) as plain:
        expected = [batch["image"].copy() for batch in plain]
    with batches(opened, 64, seed=3, transform=[Flip()]) as stream:
        Watch(stream)
        found = [batch["image"].copy() for batch in stream]
    assert len(found) == 7
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="not Linux")
def test_memory_and_processor_time_grow_with_use() -> None:
    before = bench.memory(os.getpid())
    held = np.ones(64 << 20, np.uint8)
    assert bench.memory(os.getpid()) - before > 48 << 20
    assert held[0] == 1
    assert bench.processor(os.getpid()) > 0
    assert queued() >= 0


def test_a_process_that_is_gone_has_nothing() -> None:
    assert bench.memory(2**30) == 0
    assert bench.processor(2**30) == 0


def test_no_thread_remains(opened: Pack) -> None:
    bench.measure(opened, 32, seconds=0.01)
    assert not [t for t in threading.enumerate() if t.name.startswith("dsets-stream")]
