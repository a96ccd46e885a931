"""The script of test_distributed.py: a training run of several ranks, each a forked process.

Takes one JSON list; prints the exit codes of each run's ranks.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from dsets.pack import Pack
from dsets.stream import Window, batches


def _rank(
    pack: Pack,
    folder: Path,
    rank: int,
    world: int,
    *,
    batch_size: int,
    epochs: int,
    die_at: int | None,
    shuffle: bool | Window,
) -> None:
    """One rank's training. Rank 1 dies at its step ``die_at``, its batch taken and not done."""
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store-{world}",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=60),
    )
    stream = batches(pack, batch_size, seed=5, shuffle=shuffle, rank=(rank, world), device="cpu")
    saved = folder / "state.json"
    if saved.exists():
        stream.load_state_dict(json.loads(saved.read_text()))
    step = 0
    with (folder / f"seen-{world}-{rank}").open("w") as seen:
        while stream.epoch < epochs:
            for batch in stream:
                valid = np.asarray(batch.valid)
                taken = [int(i) for i in np.asarray(batch.index)[valid]]
                seen.write(json.dumps([batch.epoch, batch.position, taken]) + "\n")
                seen.flush()
                if rank == 1 and step == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                step += 1
                rows = torch.tensor([len(taken)])
                distributed.all_reduce(rows)  # fails where a rank has died
                assert int(rows) == min(batch_size, len(pack) - batch.position)
                if rank == 0:
                    new = saved.with_suffix(".new")
                    new.write_text(json.dumps(stream.state_dict()))
                    new.replace(saved)
    distributed.barrier()
    distributed.destroy_process_group()


def main(argument: str) -> None:
    """The runs, one after the other: all ranks started, waited for, how they ended."""
    path, folder, epochs, order, runs = json.loads(argument)
    pack = Pack.open(path)
    context = multiprocessing.get_context("fork")  # torch is imported once for all
    codes = []
    for world, batch_size, die_at in runs:
        rest = {
            "batch_size": batch_size,
            "epochs": epochs,
            "die_at": die_at,
            "shuffle": Window(*order) if order else True,
        }
        ranks = [
            context.Process(target=_rank, args=(pack, Path(folder), rank, world), kwargs=rest)
            for rank in range(world)
        ]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join()
        codes.append([process.exitcode for process in ranks])
    print(json.dumps(codes))


if __name__ == "__main__":
    main(sys.argv[1])
