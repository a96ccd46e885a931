"""One mapped shard: its datasets as arrays, and its samples by row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsets.errors import PackError
from dsets.field import Field
from dsets.pack import checksums
from dsets.pack.compared import Compared, Numbers
from dsets.pack.mapping import Mapped
from dsets.pack.reserve import Reserved
from dsets.pack.schema import Extent, Shard

KEY = Field("key", "uint8", (None,))


def map_datasets(path: Path, size: int, extents: Mapping[str, Extent]) -> dict[str, np.ndarray]:
    """The datasets of a file as read-only memory-mapped arrays.

    Raises:
        PackError: the file is not there or of another size.
    """
    return datasets(Mapped(path, size).memory, extents)


def datasets(memory: memoryview, extents: Mapping[str, Extent]) -> dict[str, np.ndarray]:
    """The datasets in a file's memory, in place."""
    return {name: _view(memory, extent) for name, extent in extents.items()}


def _view(memory: memoryview, extent: Extent) -> np.ndarray:
    """One dataset, in place."""
    dtype = np.dtype(extent.dtype).newbyteorder("<")
    count = extent.length // dtype.itemsize
    offset = extent.offset if count else 0
    return np.frombuffer(memory, dtype, count, offset).reshape(extent.shape)


class Rows:
    """A shard's samples by row, from 0. Arrays are read-only and in stored layout."""

    __slots__ = ("arrays", "compared", "file", "name")

    def __init__(
        self, shard: Shard, memory: memoryview, file: Mapped | Reserved | None = None
    ) -> None:
        """Over the shard's memory, which is not read yet; ``file`` tells whether it changed."""
        self.name = shard.name
        self.file = file
        self.arrays = datasets(memory, shard.datasets)
        #: Rows whose checksums were found right.
        self.compared = Compared(shard.samples)

    @classmethod
    def map(cls, folder: Path, shard: Shard, fields: tuple[Field, ...]) -> Rows:
        """Map the shard and check it.

        Raises:
            PackError: the file is not what the index says, or offsets fall or lead outside.
        """
        file = Mapped(folder / shard.name, shard.bytes)
        rows = cls(shard, file.memory, file)
        rows.check(fields)
        return rows

    @property
    def faults(self) -> int:
        """Reads that storage did not answer."""
        return self.file.faults if self.file else 0

    def unchanged(self) -> None:
        """Make sure that the file is still the one that was mapped.

        Raises:
            PackError: it was cut short, changed or replaced.
        """
        if self.file:
            self.file.check()

    def check(self, fields: tuple[Field, ...]) -> None:
        """Check the offsets of the variable-size fields.

        Raises:
            PackError: offsets fall or lead outside, or cannot be read.
        """
        for field in (*fields, KEY):
            if not field.fixed:
                self._check_offsets(field)
        self.unchanged()

    def stored(self, field: Field, row: int) -> np.ndarray:
        """One value of a field in its stored layout."""
        if field.fixed:
            value: np.ndarray = self.arrays[field.name][row]
            return np.asarray(value)
        begin, end = self.arrays[f"offsets/{field.name}"][row : row + 2].tolist()
        flat = self.arrays[field.name][begin:end]
        try:
            return flat.reshape(self._shape(field, row, len(flat)))
        except ValueError as error:
            raise PackError(
                "a value of another size than its shape",
                where=f"{self.name}, {field.name}, row {row}",
                expected=field,
                got=f"{len(flat)} values",
            ) from error

    def checksums(self, field: Field, rows: Numbers) -> npt.NDArray[np.uint32]:
        """The CRC-32C of a field's bytes in each of these rows, which rise.

        Raises:
            PackError: a value has another size than its shape.
        """
        if not field.fixed:
            values = [np.ascontiguousarray(self.stored(field, row)) for row in rows.tolist()]
            return np.array([checksums.of_rows(one.reshape(1, -1))[0] for one in values], np.uint32)
        array = self.arrays[field.name]
        dense = int(rows[-1] - rows[0]) == len(rows) - 1  # then there is nothing to copy
        return checksums.of_rows(array[rows[0] : rows[-1] + 1] if dense else array[rows])

    def key(self, row: int) -> str:
        """The key of one sample."""
        try:
            return self.stored(KEY, row).tobytes().decode()
        except UnicodeDecodeError as error:
            raise PackError("a key is not UTF-8", where=f"{self.name}, row {row}") from error

    def _shape(self, field: Field, row: int, count: int) -> tuple[int, ...]:
        known = field.stored_shape
        if known.count(None) == 1:
            return (
                tuple(-1 if size is None else size for size in known)
                if count
                else tuple(size or 0 for size in known)
            )
        given = self.arrays[f"shape/{field.name}"][row].tolist()
        if any(want not in (None, size) for want, size in zip(known, given, strict=True)):
            raise ValueError("another shape than the field's")
        return tuple(given)

    def _check_offsets(self, field: Field) -> None:
        offsets = self.arrays[f"offsets/{field.name}"]
        falling = np.flatnonzero(offsets[1:] < offsets[:-1])
        if offsets[0] != 0 or offsets[-1] != self.arrays[field.name].size or len(falling):
            self.unchanged()
            where = f"{self.file.path if self.file else self.name}, offsets/{field.name}"
            if self.faults:  # zeros stand in the place of what was not read
                remedy = "see the system's log; open the pack again once the storage answers"
                raise PackError("its storage does not answer", where=where, remedy=remedy)
            raise PackError(
                "offsets that fall or lead outside",
                where=where,
                expected=f"rising from 0 to {self.arrays[field.name].size}",
                got=f"from {offsets[0]} to {offsets[-1]}, falling {len(falling)} times",
                remedy="see 'dsets repair'",
            )
