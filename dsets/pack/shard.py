"""Write one shard: n samples, checked against their fields, as one plain HDF5 file.

    /<field>           (n, *stored shape), or one flat blob where sizes vary
    /offsets/<field>   uint64 (n + 1): where each sample begins in the blob, in values
    /shape/<field>     uint32 (n, dimensions): stored shapes, where more than one size varies
    /checksum/<field>  uint32 (n): CRC-32C of each sample's stored bytes
    /key, /offsets/key, /checksum/key    the keys, UTF-8
    /key_hash          uint64 (n): what random choices are keyed by

The bytes of the file depend on fields, keys and values alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.errors import PackError
from dsets.field import Field
from dsets.pack import checksums, hdf5
from dsets.pack.digests import key_hash
from dsets.pack.hdf5 import Data
from dsets.pack.schema import Shard, check_fields

#: Bytes converted, summed and written at a time.
BLOCK = 2**22
_SMALL = 2**12  # bytes of a value that is joined with others
_TOGETHER = 2**10


def write(
    path: Path,
    fields: Sequence[Field],
    keys: Sequence[str],
    columns: Mapping[str, Sequence[Any] | np.ndarray],
) -> Shard:
    """Write ``path`` atomically and say what lies where in it.

    A column holds one value a sample: an array (n, *shape), or a sequence of arrays, numbers or,
    for ``uint8 (None,)``, bytes. Images come height, width, channels, whatever their layout here.

    Raises:
        PackError: no samples, repeated keys, a missing column, or a value that is not of its
            field's type and shape.
    """
    check_fields(fields)
    _check_keys(path, keys)
    if set(columns) != {field.name for field in fields}:
        raise PackError(
            "the columns are not the fields",
            where=path,
            expected=", ".join(sorted(field.name for field in fields)),
            got=", ".join(sorted(columns)),
        )
    datasets: dict[str, Data] = {}
    for field in fields:
        datasets |= _Column(field, columns[field.name], len(keys)).datasets()
    datasets |= _key_datasets(keys)
    written = hdf5.write(path, datasets)
    return Shard(path.name, len(keys), written.bytes, written.sha256, written.datasets)


def _check_keys(path: Path, keys: Sequence[str]) -> None:
    if not keys:
        raise PackError("a shard needs a sample", where=path)
    for key in keys:
        if not isinstance(key, str) or not key or not _encodes(key):
            raise PackError("bad key", where=path, expected="text", got=repr(key))
    if len(set(keys)) != len(keys):
        (twice, _), *_ = Counter(keys).most_common(1)
        raise PackError("two samples of one key", where=path, got=repr(twice))


def _key_datasets(keys: Sequence[str]) -> dict[str, Data]:
    """The keys as a field of varying size; at once, or they would take longer than the pixels."""
    encoded = [key.encode() for key in keys]
    blob = np.frombuffer(b"".join(encoded), np.uint8)
    bounds = [0, *accumulate(map(len, encoded))]
    return {
        "key": Data.of(blob),
        "offsets/key": Data.of(np.array(bounds, np.uint64)),
        "checksum/key": Data.of(checksums.of_ranges(blob, bounds)),
        "key_hash": Data.of(np.array([key_hash(key) for key in keys], np.uint64)),
    }


def _encodes(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Column:
    """The values of one field, seen as blocks of stored bytes."""

    field: Field
    values: Sequence[Any] | np.ndarray
    samples: int

    def datasets(self) -> dict[str, Data]:
        """Every dataset of the field. Raises PackError when a value isn't what the field says."""
        name, dtype = self.field.name, self.field.dtype
        if len(self.values) != self.samples:
            raise PackError(
                "a column of another length than the keys",
                where=name,
                expected=self.samples,
                got=len(self.values),
            )
        if self.field.fixed and isinstance(self.values, np.ndarray):
            return self._summed_on_the_way(self.values)
        crc: list[npt.NDArray[np.uint32]] = []
        shapes: list[tuple[int, ...]] = []
        for blob, those in self._runs():
            width = np.dtype(dtype).itemsize
            bounds = [0, *accumulate(width * math.prod(shape) for shape in those)]
            crc.append(checksums.of_ranges(blob, bounds))
            shapes += those
        checksum = Data.of(np.concatenate(crc))
        if self.field.fixed:
            shape = (self.samples, *shapes[0])
            return {name: Data(dtype, shape, self._blocks), f"checksum/{name}": checksum}
        sizes = np.array(shapes, np.uint64)
        offsets = np.zeros(self.samples + 1, np.uint64)
        np.cumsum(sizes.prod(axis=1, dtype=np.uint64), out=offsets[1:])
        found = {
            name: Data(dtype, (int(offsets[-1]),), self._blocks),
            f"offsets/{name}": Data.of(offsets),
            f"checksum/{name}": checksum,
        }
        if self.field.shape.count(None) > 1:
            found[f"shape/{name}"] = Data.of(sizes.astype(np.uint32))
        return found

    def _summed_on_the_way(self, values: np.ndarray) -> dict[str, Data]:
        """Of one large array: each block is summed when it is written, and still in a cache."""
        sums: list[npt.NDArray[np.uint32]] = []

        def blocks() -> Iterator[memoryview]:
            sums.clear()
            for rows in self._rows(values):
                sums.append(checksums.of_rows(rows))
                yield rows.reshape(-1).view(np.uint8).data

        def checksum() -> Sequence[memoryview]:
            if sum(map(len, sums)) < self.samples:  # wanted before the values
                sums[:] = map(checksums.of_rows, self._rows(values))
            return [np.concatenate(sums).astype("<u4").view(np.uint8).data]

        name, first = self.field.name, next(self._rows(values))
        return {
            name: Data(self.field.dtype, (self.samples, *first.shape[1:]), blocks),
            f"checksum/{name}": Data("uint32", (self.samples,), checksum),
        }

    def _blocks(self) -> Iterator[memoryview]:
        for blob, _ in self._runs():
            yield blob.data

    def _runs(self) -> Iterator[tuple[npt.NDArray[np.uint8], list[tuple[int, ...]]]]:
        """Values as stored bytes, with the shape of each: small ones joined, by a copy that costs
        less than to sum and write each alone."""
        plain = np.dtype(self.field.dtype).newbyteorder("<")
        small: list[np.ndarray] = []
        shapes: list[tuple[int, ...]] = []
        for flat, shape in self._flat():
            if flat.nbytes <= _SMALL:
                small.append(flat)
                shapes.append(shape)
                if len(small) < _TOGETHER:
                    continue
            if small:
                yield np.concatenate(small, dtype=plain).view(np.uint8), shapes
                small, shapes = [], []
            if flat.nbytes > _SMALL:
                yield flat.view(np.uint8), [shape]
        if small:
            yield np.concatenate(small, dtype=plain).view(np.uint8), shapes

    def _flat(self) -> Iterator[tuple[np.ndarray, tuple[int, ...]]]:
        """Each value as it is stored, contiguous and little-endian, in one dimension; its shape."""
        plain = np.dtype(self.field.dtype).newbyteorder("<")
        lists = self.field.shape == (None,)
        for number, value in enumerate(self.values):
            # Labels, by the million, are asked no more than this.
            if lists and type(value) is np.ndarray and value.ndim == 1 and value.dtype == plain:
                yield np.ascontiguousarray(value), value.shape
            else:
                rows = self._stored(self._array(value, number)[None], number)
                yield rows.reshape(-1), rows.shape[1:]

    def _rows(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """Of one large array, some rows at a time: (k, *stored shape), as they are stored."""
        step = max(1, BLOCK * len(values) // max(1, values.nbytes))
        for start in range(0, len(values), step):
            yield self._stored(values[start : start + step], start)

    def _array(self, value: Any, number: int) -> np.ndarray:
        """One value as an array; a number or bytes only where the field's type loses nothing."""
        if isinstance(value, np.ndarray | np.generic):
            return np.asarray(value)
        if isinstance(value, bytes | bytearray | memoryview) and self.field.dtype == "uint8":
            return np.frombuffer(value, np.uint8)
        if isinstance(value, bool | int | float):
            with np.errstate(all="ignore"), suppress(OverflowError):
                converted = np.asarray(value).astype(self.field.dtype)
                if converted.item() == value:
                    return converted
        raise self._wrong(number, f"{type(value).__name__} {value!r:.40}")

    def _stored(self, rows: np.ndarray, number: int) -> np.ndarray:
        field = self.field
        fits = rows.ndim == len(field.shape) + 1 and all(
            want is None or want == got
            for want, got in zip(field.shape, rows.shape[1:], strict=True)
        )
        if not fits or rows.dtype.name != field.dtype:
            raise self._wrong(number, f"{rows.dtype.name} {rows.shape[1:]}")
        if field.layout == "CHW":
            rows = rows.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))

    def _wrong(self, number: int, got: str) -> PackError:
        return PackError(
            "a value is not of its field",
            where=f"sample {number} of this shard",
            expected=self.field,
            got=got,
        )
