"""The digests that name a pack. Each is a sha256 over bytes that can be read in one way only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any


def samples_digest(keys: Iterable[str]) -> str:
    """The digest of the ordered sample keys.

    Each key is hashed as its length in bytes (uint64, little-endian) and then its UTF-8 bytes, so
    no two lists of keys give the same bytes.
    """
    digest = hashlib.sha256()
    for key in keys:
        data = key.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def key_hash(key: str) -> int:
    """What random choices are keyed by: the first 8 bytes, little-endian, of the key's sha256."""
    return hash_of(key.encode())


def hash_of(key: bytes) -> int:
    """The same of a key as it is stored, in UTF-8."""
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "little")


def canonical(value: Any) -> bytes:
    """JSON in its one canonical form: sorted keys, no spaces, ASCII only, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def digest(value: Any) -> str:
    """The sha256 of a value's canonical form."""
    return hashlib.sha256(canonical(value)).hexdigest()
