from __future__ import annotations

import os
import subprocess
import sys

import pytest

PINNED = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from dsets.cores import cores
from dsets.stream import Options
print(cores(), Options().threads_here, Options(threads=3).threads_here)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core is all there is")
def test_a_process_on_one_core_has_one_thread_unless_told_otherwise() -> None:
    said = subprocess.run([sys.executable, "-c", PINNED], stdout=subprocess.PIPE, check=True)
    assert said.stdout.split() == [b"1", b"1", b"3"]
