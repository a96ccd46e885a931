"""Numbers that a caller gives: of Python, NumPy or whoever else's, but no truth and no text."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.errors import UsageError
from dsets.raised import cut


def whole(
    name: str, value: object, least: int, most: int, where: str, expected: str | None = None
) -> int:
    """A whole number of any library, as Python's own.

    Raises:
        UsageError: it is none, or lies outside ``least`` … ``most``, both included.
    """
    found = index(value)
    if found is None or not least <= found <= most:
        raise UsageError(
            f"bad {name}",
            where=where,
            expected=expected or f"{least} to {most}",
            got=written(value),
        )
    return found


def written(value: object) -> str:
    """As ``repr``, cut short; words of ours where that raises, as for a number of thousands of
    digits and for what a stranger made."""
    try:
        text = repr(value)
    except Exception:  # a recursion too deep, for one
        if isinstance(value, int):
            return "a number of thousands of digits"
        return f"{type(value).__name__} that cannot be written"
    return cut(text)


def index(value: Any) -> int | None:
    """A whole number of any library, as Python's own; None where it is none, or a truth."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)
    except Exception:  # whatever a stranger's number raises
        return None


def pair(values: object) -> tuple[Any, Any] | None:
    """The two of a tuple, a list or an array of one dimension; None where it is none of these."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        values = values.tolist()
    if isinstance(values, tuple | list) and len(values) == 2:
        return (values[0], values[1])
    return None


def floats(values: object) -> npt.NDArray[np.float64] | None:
    """One or many numbers, nested or not, or an array of them; None where one is not finite, or no
    number at all."""
    try:
        if _has_truth(values):
            return None
        array = np.asarray(values)
        if array.dtype.kind not in "iufO":  # objects: fractions, numbers of any size
            return None
        found = array.astype(np.float64)
    except Exception:  # nested too deep, for one, or whatever a stranger's number raises
        return None
    return found if np.isfinite(found).all() else None


def _has_truth(values: object) -> bool:
    if isinstance(values, tuple | list):
        return any(map(_has_truth, values))
    return isinstance(values, bool | np.bool_)
