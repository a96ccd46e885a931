"""What ``_pickles`` makes: plain data, arrays not yet made, and the markers on the way to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy.typing as npt

Plain: TypeAlias = (
    "bool | int | float | bytes | str | list[Plain] | dict[str, Plain] | Array | None"
)

#: NumPy's names of the types an array may have, and their bytes.
DTYPES = {f"{kind}{size}": size for kind in "ui" for size in (1, 2, 4, 8)}
DTYPES |= {"b1": 1, "f2": 2, "f4": 4, "f8": 8}
GLOBALS = {
    ("numpy", "dtype"): "dtype",
    ("numpy", "ndarray"): "ndarray",
    ("_codecs", "encode"): "encode",  # how protocol 2 writes the bytes of Python 3
}
for _package in ("numpy.core", "numpy._core"):  # before and since NumPy 2
    GLOBALS[f"{_package}.multiarray", "_reconstruct"] = "reconstruct"
    GLOBALS[f"{_package}.numeric", "_frombuffer"] = "frombuffer"  # protocol 5


@dataclass(frozen=True, slots=True)
class Array:
    """A NumPy array as its pickle described it: bytes, and how to look at them."""

    dtype: str
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    data: bytes

    def numpy(self) -> npt.NDArray[Any]:
        """The array: little-endian and read-only, its bytes shared with this object if they can."""
        import numpy as np

        array = np.ndarray(self.shape, self.dtype, self.data, order=self.order)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        array.flags.writeable = False
        return array


@dataclass(frozen=True, slots=True)
class Global:
    """The marker of a global name."""

    name: str


@dataclass(slots=True, eq=False)
class DType:
    """The marker of a dtype. Its state arrives after the memo has it, once."""

    kind: str
    order: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Unbuilt:
    """The marker of an array whose state has not come yet."""


ATOMS = (type(None), bool, int, float, bytes, str)
PLAIN = (*ATOMS, list, dict, Array)
REPEATABLE = (*ATOMS, Global, DType)
MARKERS = (Global, DType, Unbuilt)
