"""Two processes that take one bundle, the second while the first is in the middle of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TAKE = """
import sys
from pathlib import Path
from dsets import adopt

def told(event):
    if sys.argv[2] == "first" or event.message:
        print(event.message or "busy", flush=True)
        sys.stdin.read()

paths = adopt.unbundle(adopt.look(Path(sys.argv[1])), progress=told)
print(*paths, sep="\\n")
"""


def taken_at_once(bundle: Path) -> list[str]:
    """The paths that both of them print; the second has waited for the first."""
    first = _start(bundle, "first")
    assert first.stdout and first.stdout.readline() == "busy\n"
    second = _start(bundle, "second")
    assert second.stdout and "another process is bringing" in second.stdout.readline()
    paths = [one.communicate()[0].splitlines() for one in (first, second)]
    assert [one.returncode for one in (first, second)] == [0, 0]
    assert [path for path in paths[0] if path != "busy"] == paths[1]
    return paths[1]


def _start(bundle: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TAKE, str(bundle), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
