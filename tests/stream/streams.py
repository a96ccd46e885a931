"""Streams of the lower interface, and their threads."""

from __future__ import annotations

import threading
from typing import Any

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
