"""What every test gets: its own home, no inherited settings, a look for left-over threads."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A loaded machine is slow, and no test asserts a time.
settings.register_profile("dsets", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dsets")


def pytest_configure(config: pytest.Config) -> None:
    """Hear Ctrl-C, and let child processes hear it, where a shell started us to ignore it (`&`)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``$DSETS_HOME`` below the test's own folder; nothing of the developer's settings remains."""
    for name in [name for name in os.environ if name.startswith("DSETS_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("DSETS_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail the test that leaves one of our threads alive (stream's promise 6, and everyone's).

    What a test forgot to close is collected first: dropping the last reference is a way to stop.
    """
    before = set(threading.enumerate())
    yield
    ours = [t for t in threading.enumerate() if t.name.startswith("dsets") and t not in before]
    if ours:
        gc.collect()
        for thread in ours:
            thread.join(timeout=2)
    left = [thread.name for thread in ours if thread.is_alive()]
    if left:
        pytest.fail(f"threads left alive: {', '.join(left)}")


@pytest.fixture
def cli() -> Callable[[Sequence[str]], int]:
    """The function behind the installed command: ``cli(["list", "--json"])`` → exit code."""
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="dsets")
    main: Callable[[Sequence[str]], int] = script.load()
    return main
