"""Streams of the lower interface or of damaged packs, and their threads."""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from dsets.pack import Pack
from dsets.stream import Key, Options, Order, Stream


def stream_of(pack: Pack, batch_size: int, *, threads: int = 2, **rest: Any) -> Stream:
    transform = rest.pop("transform", ())
    rank = rest.pop("rank", (0, 1))
    key = Key(pack.samples_digest, rest.pop("seed", 0), rest.pop("shuffle", True))
    order = Order(len(pack), key, batch_size, rest.pop("drop_last", False), *rank)
    return Stream(pack, order, transform, options=Options(threads=threads), **rest)


def ours() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("dsets-stream-")]


def damaged(pack: Pack, folder: Path, numbers: tuple[int, ...], field: str = "image") -> Pack:
    """A copy of a pack with one bit of these samples flipped."""
    shutil.copytree(pack.path, folder)
    for number in numbers:
        shard = int(np.searchsorted(pack.starts, number, side="right")) - 1
        recorded = pack.index.shards[shard]
        place = recorded.datasets[field]
        width = place.length // recorded.samples
        with open(folder / recorded.name, "r+b") as file:
            file.seek(place.offset + (number - int(pack.starts[shard])) * width)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 4]))
    return Pack.open(folder)


def quiet(stream: Stream) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return list(stream)
