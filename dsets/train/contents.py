"""The digest of a checkpoint's contents: plain data and tensors, nested as they are."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from dsets.train import weights


def digest(value: Any) -> str:
    """sha256 over None, flags, numbers, text, tensors, and lists, tuples and tables of these.

    It depends on values, types and the order of tables, not on how a file spells them: so a bit
    that changed anywhere in what is loaded shows, in a float's last place, too. Tensors are dense
    and their memory is not copied, except of those that are not row-major.

    Raises:
        TypeError: there is something else in it.
    """
    total = hashlib.sha256()
    for part in _parts(value):
        total.update(part)
    return total.hexdigest()


def _parts(value: Any) -> Iterator[Any]:
    """What is hashed: a type, a length where there is one, and bytes."""
    yield f"{type(value).__name__}\0".encode()
    if isinstance(value, Mapping):
        yield f"{len(value)}\0".encode()
        for name, entry in value.items():
            yield from _parts(name)
            yield from _parts(entry)
    elif isinstance(value, list | tuple):
        yield f"{len(value)}\0".encode()
        for entry in value:
            yield from _parts(entry)
    elif isinstance(value, Tensor):
        yield from weights.parts(value)
    elif isinstance(value, float):
        yield struct.pack("<d", value)
    elif isinstance(value, str):
        yield f"{len(value)}\0{value}".encode(errors="surrogatepass")
    elif value is None or isinstance(value, int):
        yield f"{value}\0".encode()
    else:
        raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")
