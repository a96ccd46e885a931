"""Which code trains: a digest of the sources that decide a run's numbers."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

#: What comes between a pack's bytes and the weights. What only brings the bytes here is proved by
#: their digests.
PARTS = ("codecs", "geometry", "models", "native", "pack", "stream", "train", "transforms")


@cache
def digest() -> str:
    """sha256 over names and bytes of the Python files of these parts, in the order of their names.

    The compiled extension is not among them: it has the bits of the NumPy code that is.
    """
    total = hashlib.sha256()
    for part in PARTS:
        folder = resources.files("dsets") / part
        with resources.as_file(folder) as there:
            for path in sorted(there.rglob("*.py")):
                source = path.read_bytes()
                name = path.relative_to(there.parent).as_posix()
                total.update(f"{name}\0{len(source)}\0".encode())
                total.update(source)
    return total.hexdigest()
