"""The same numbers again: what besides seed and data decides a run's bits, fixed and recorded."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch

from dsets.train import code, processor
from dsets.train.numerics import Numerics

#: Typed as Any: torch makes this module's one setting by a property that type checkers don't see.
_filling: Any = torch.utils.deterministic


@contextmanager
def exact(threads: int, device: str, *, compiled: bool = False) -> Iterator[None]:
    """Deterministic kernels on ``threads`` CPU threads, and the generators ours for the block.

    The process's own settings and generator states come back at the end. The number of threads
    matters since sums are split by it.
    """
    kept = (
        torch.get_num_threads(),
        torch.get_deterministic_debug_mode(),
        _filling.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
    )
    if device != "cpu":
        # cuBLAS reads this once, before its first use; without it torch refuses to be exact.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=[] if device == "cpu" else [device]):
        torch.set_num_threads(threads)
        # Not use_deterministic_algorithms, which also sets up the compiler: seconds of imports.
        if compiled:
            torch.use_deterministic_algorithms(True)
        torch.set_deterministic_debug_mode("error")
        # Filling every new tensor guards against reading it too early, at a price for each one.
        _filling.fill_uninitialized_memory = False
        torch.backends.cudnn.benchmark = False
        try:
            yield
        finally:
            torch.set_num_threads(kept[0])
            torch.set_deterministic_debug_mode(kept[1])
            _filling.fill_uninitialized_memory = kept[2]
            torch.backends.cudnn.benchmark = kept[3]


def environment(
    threads: int, device: str, ranks: int, numerics: Numerics
) -> dict[str, str | int | bool]:
    """What the bits of a run depend on besides its identity; two equal ones give equal bits."""
    return {
        "dsets": version("dsets"),
        "code": code.digest(),
        "torch": str(torch.__version__),
        "numpy": version("numpy"),
        "python": ".".join(map(str, sys.version_info[:3])),
        "machine": platform.machine(),
        "processor": processor.name(),
        "instructions": processor.instructions(),
        "threads": threads,
        "ranks": ranks,
        "device": device if device == "cpu" else torch.cuda.get_device_name(device),
        "accumulate": numerics.accumulate,
        "compiled": numerics.compiled,
        "channels_last": numerics.channels_last,
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs between two environments, one line each; also what only one of them tells."""
    names = [*before, *(name for name in now if name not in before)]
    return tuple(
        f"{name} {_short(before.get(name))} → {_short(now.get(name))}"
        for name in names
        if before.get(name) != now.get(name)
    )


def _short(value: Any) -> str:
    if value is None:
        return "not recorded"
    text = str(value)
    text = text if text.isprintable() else ascii(text)
    # A digest is told apart by its first letters, a processor by its last numbers.
    digest = len(text) == 64 and text.isalnum()
    return f"{text[:12]}…" if digest or len(text) > 200 else text


def generators(device: str) -> dict[str, torch.Tensor]:
    """The states of torch's generators, which dropout and the like draw from."""
    states = {"cpu": torch.get_rng_state()}
    if device != "cpu":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(states: dict[str, torch.Tensor], device: str) -> None:
    """Put back what ``generators`` returned; a GPU's state into ``device``."""
    torch.set_rng_state(states["cpu"])
    if device != "cpu" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
