"""A cached shard cut short under a running stream: an error, never the end of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import Server

SCRIPT = """
import os, sys
from pathlib import Path
native, address, folder = sys.argv[1:]
if native == "without":
    sys.modules["dsets._native"] = None
from dsets import remote
from dsets.errors import PackError
from dsets.stream import batches

def stream(deed):
    with remote.open(address, folder=Path(folder)) as pack:
        for epoch in range(3):
            for step, batch in enumerate(batches(pack, 8, seed=1)):
                if (epoch, step) == (1, 2) and deed:
                    for path in Path(folder).glob("packs/*/s-3.h5"):
                        os.truncate(path, 4096)
        return batch["label"].sum()

try:
    stream(True)
    print("no error")
except PackError as error:
    print("PackError", error)
stream(False)
print("whole again")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the guard without the extension needs Linux")
@pytest.mark.parametrize("native", ["with", "without"])
def test_a_cached_shard_cut_short_is_an_error_and_then_fetched_anew(
    server: Server, tmp_path: Path, native: str
) -> None:
    command = [sys.executable, "-c", SCRIPT, native, f"{server.url}/train", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    error, again = done.stdout.splitlines()
    assert error.startswith("PackError") and "s-3.h5" in error
    assert "cut short, changed or replaced" in error and "fetched anew" in error
    assert again == "whole again"
