"""A batch: some rows of every field, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.stream.ragged import Ragged


class Batch(Mapping[str, Any]):
    """Field name → array (rows, …); or, with a device, a tensor there.

    A field whose samples differ in their first size only, such as boxes, is a ``Ragged``; where
    they differ otherwise, a list of arrays. The arrays are the receiver's own: to
    keep, to change, to hand on.
    """

    __slots__ = ("_fields", "epoch", "index", "position", "substituted", "valid")

    def __init__(
        self,
        fields: Mapping[str, Any],
        *,
        index: npt.NDArray[np.int64],
        valid: npt.NDArray[np.bool_],
        epoch: int,
        position: int,
        substituted: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self._fields = dict(fields)
        #: Sample numbers, int64 (rows,), always NumPy.
        self.index = index
        #: False where a row is padding, bool (rows,), always NumPy.
        self.valid = valid
        #: True where the sample stands for another, which cannot be read; bool (rows,), NumPy.
        self.substituted = np.zeros(len(index), np.bool_) if substituted is None else substituted
        self.epoch = epoch
        #: Where in the epoch the batch starts, in samples, counting those of all ranks.
        self.position = position

    def __getitem__(self, field: str) -> Any:
        return self._fields[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        """The number of fields; ``len(batch.index)`` is the number of rows."""
        return len(self._fields)

    def replace(self, fields: Mapping[str, Any]) -> Batch:
        """The same rows with other fields."""
        return Batch(
            fields,
            index=self.index,
            valid=self.valid,
            epoch=self.epoch,
            position=self.position,
            substituted=self.substituted,
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {_written(values)}" for name, values in self._fields.items())
        return f"<Batch epoch {self.epoch}, position {self.position}; {fields}>"


def _written(values: Any) -> str:
    if isinstance(values, Ragged):
        return f"ragged {_written(values.values)}, {len(values)} rows"
    if isinstance(values, list):
        return f"list of {len(values)}"
    return f"{getattr(values, 'dtype', '?')} {tuple(getattr(values, 'shape', ()))}"
