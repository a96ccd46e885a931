"""The samples of one shard as columns, each value checked against its field on the way in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dsets.errors import PipelineError
from dsets.field import Field


class Columns:
    """Room for ``rows`` samples: one array for a field of fixed size, one list for another.

    Threads may put samples of different rows at the same time. A row that nobody puts anything in,
    as of a bad sample, is left out.
    """

    def __init__(self, fields: Sequence[Field], rows: int) -> None:
        self._fields = fields
        self._keys: list[str | None] = [None] * rows
        self._columns = {field.name: _room(field, rows) for field in fields}

    def put(self, row: int, key: str, values: Sequence[np.ndarray]) -> None:
        """The sample of a row; ``values`` as ``checked`` gives them."""
        for field, value in zip(self._fields, values, strict=True):
            self._columns[field.name][row] = value
        self._keys[row] = key

    def put_batch(self, row: int, keys: Sequence[str], values: Sequence[Any]) -> None:
        """The samples of neighbouring rows; ``values`` as ``checked_batch`` gives them."""
        rows = slice(row, row + len(keys))
        for field, value in zip(self._fields, values, strict=True):
            self._columns[field.name][rows] = value
        self._keys[rows] = keys

    @property
    def keys(self) -> list[str]:
        """The keys of the samples that are there, in the order of their rows."""
        return [key for key in self._keys if key is not None]

    def column(self, field: str) -> np.ndarray | list[np.ndarray]:
        """The values of all rows, filled or not: one array (rows, …), or a list."""
        return self._columns[field]

    def filled(self) -> dict[str, np.ndarray | list[np.ndarray]]:
        """Field → the values of those samples: (n, …) arrays or lists of n arrays."""
        rows = [row for row, key in enumerate(self._keys) if key is not None]
        for column in self._columns.values():
            for to, row in enumerate(rows):
                if to != row:
                    column[to] = column[row]
        self._keys[:] = self.keys + [None] * (len(self._keys) - len(rows))
        return {name: column[: len(rows)] for name, column in self._columns.items()}

    def clear(self) -> None:
        """Make room again, in the memory that is there: fresh memory costs as much as a copy."""
        self._keys[:] = [None] * len(self._keys)
        for column in self._columns.values():
            if isinstance(column, list):
                column[:] = [_NOTHING] * len(column)


_NOTHING = np.empty(0)


def _room(field: Field, rows: int) -> np.ndarray | list[np.ndarray]:
    sizes = [size for size in field.shape if size is not None]
    return np.empty((rows, *sizes), field.dtype) if field.fixed else [_NOTHING] * rows


def checked(where: str, fields: Sequence[Field], made: object) -> list[np.ndarray]:
    """What a pipeline made of one sample, as arrays in the order of ``fields``.

    A value is an array of exactly the field's dtype and shape; a plain Python number that the dtype
    holds exactly; or ``bytes`` for a ``uint8 (None,)`` field. Nothing is cast silently. Values of
    other names are left out.

    Raises:
        PipelineError: anything else: ``where`` it was made, the field, what was expected and what
            came.
    """
    if not isinstance(made, Mapping):
        raise PipelineError("make() must give a mapping", where=where, got=type(made).__name__)
    if missing := [field.name for field in fields if field.name not in made]:
        raise PipelineError(
            "make() must give a value for each field",
            where=where,
            expected=", ".join(field.name for field in fields),
            got=f"no {', no '.join(missing)}",
        )
    return [_array(where, field, made[field.name]) for field in fields]


def checked_batch(where: str, count: int, fields: Sequence[Field], made: object) -> list[Any]:
    """What a pipeline made of ``count`` samples at once, in the order of ``fields``: for each an
    array (n, …) of its dtype and shape, or where sizes vary a list of n arrays.

    Raises:
        PipelineError: anything else: ``where`` it was made, the field, what was expected and what
            came.
    """
    if not isinstance(made, Mapping):
        raise PipelineError(
            "make_batch() must give a mapping, or None", where=where, got=type(made).__name__
        )
    found = []
    for field in fields:
        column: Any = made.get(field.name)
        if field.fixed:
            good = isinstance(column, np.ndarray) and column.shape == (count, *field.shape)
            good = good and column.dtype == field.dtype
        else:
            good = isinstance(column, list) and len(column) == count
            good = good and all(_fits(field, one) for one in column)
        if not good:
            raise PipelineError(
                "make_batch() gave values of another kind than their field",
                where=where,
                expected=f"{count} of {field}, {'an array' if field.fixed else 'a list'}",
                got=_told(column),
            )
        found.append(column)
    return found


def _told(column: object) -> str:
    if isinstance(column, np.ndarray):
        return f"{column.dtype} {column.shape}"
    if isinstance(column, list):
        return f"a list of {len(column)}: {', '.join(sorted({_told(one) for one in column})[:3])}"
    return "none" if column is None else type(column).__name__


def _fits(field: Field, value: Any) -> bool:
    if not isinstance(value, np.ndarray) or value.dtype != field.dtype:
        return False
    return len(value.shape) == len(field.shape) and all(
        want in (None, got) for got, want in zip(value.shape, field.shape, strict=True)
    )


def _array(where: str, field: Field, value: Any) -> np.ndarray:
    if isinstance(value, bytes | bytearray | memoryview) and field.dtype == "uint8":
        array = np.frombuffer(value, np.uint8)
    elif isinstance(value, bool | int | float):
        array = _number(field, value)
    else:
        array = np.asarray(value)
    sizes = zip(array.shape, field.shape, strict=False)
    if (
        array.dtype != np.dtype(field.dtype)
        or array.ndim != len(field.shape)
        or any(want not in (None, got) for got, want in sizes)
    ):
        raise PipelineError(
            "make() gave a value of another kind than its field",
            where=where,
            expected=field,
            got=f"{array.dtype} {array.shape}",
        )
    return array


def _number(field: Field, value: bool | int | float) -> np.ndarray:
    """0-d: the number in the field's dtype if it fits, else in one that shows the mismatch."""
    plain = np.asarray(value)
    try:
        with np.errstate(all="ignore"):
            cast = plain.astype(field.dtype)
    except OverflowError:  # an integer of more than 64 bits
        return plain
    if plain.dtype.kind == cast.dtype.kind == "f":
        return cast  # rounding is what a float field is for
    both_or_none_bool = (plain.dtype.kind == "b") == (cast.dtype.kind == "b")
    return cast if both_or_none_bool and cast == plain else plain
