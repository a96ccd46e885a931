"""TFRecord files and Examples written by hand: the tests' own writer, byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import google_crc32c
import numpy as np

Value = Sequence[bytes] | np.ndarray


def masked(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % (1 << 32)


def framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    sums = struct.pack("<I", masked(length)), struct.pack("<I", masked(record))
    return length + sums[0] + record + sums[1]


def written(path: Path, records: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(map(framed, records)))
    return path


def varint(value: int) -> bytes:
    value %= 1 << 64
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(value: Value | None, *, packed: bool = True) -> bytes:
    """A Feature: byte strings, float32 or int64; None for one whose kind was never set."""
    if value is None:
        return b""
    if not isinstance(value, np.ndarray):
        return field(1, b"".join(field(1, one) for one in value))
    floats = value.dtype == np.float32
    each = [one.tobytes() if floats else varint(int(one)) for one in value]
    if packed:
        return field(2 if floats else 3, field(1, b"".join(each)) if each else b"")
    tag = varint(1 << 3 | (5 if floats else 0))
    return field(2 if floats else 3, b"".join(tag + one for one in each))


def _map(entries: Mapping[str, bytes]) -> bytes:
    return b"".join(
        field(1, field(1, name.encode()) + field(2, data)) for name, data in entries.items()
    )


def example(features: Mapping[str, Value | None], *, packed: bool = True) -> bytes:
    return field(1, _map({k: feature(v, packed=packed) for k, v in features.items()}))


def sequence(
    context: Mapping[str, Value | None], lists: Mapping[str, Sequence[Value | None]]
) -> bytes:
    whole = {
        name: b"".join(field(1, feature(one)) for one in values) for name, values in lists.items()
    }
    return example(context) + field(2, _map(whole))
