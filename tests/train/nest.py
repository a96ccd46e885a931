"""A process that has torch loaded and, for each line it reads, forks a run that may be killed.

python -m tests.train.nest PACKS OUT      prints the child's pid, its steps, and "ended"
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from dsets import models
from dsets.train import work
from tests.train.runs import RECIPE, dropping, run


def main(packs: Path, out: Path) -> None:
    models.MODELS["tiny"] = models.Model(dropping, (16, 16, 1), 10, "for tests")
    run(packs, out.with_name("warm-up"))  # what torch loads late, it loads once
    work.CHECKPOINT_S = 0.0  # save after every step
    for _ in sys.stdin:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            print("ended", flush=True)
        else:
            print(os.getpid(), flush=True)
            run(packs, out, replace(RECIPE, epochs=6), progress=lambda m: print(m.step, flush=True))
            os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
