"""The kernel in C, where the extension was built: one pass, without the interpreter's lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dsets import extension
from dsets.transforms.subtract_mean import Normal
from dsets.transforms.view import Views

if TYPE_CHECKING:
    from dsets.transforms.kernel import Images

_TYPES = {"float32": 1, "float16": 2}
#: A batch from this size on is written past the caches; what reads a smaller one finds it there.
_BYPASS = 16 << 20


@dataclass(frozen=True, slots=True)
class Compiled:
    """From stored images to finished rows, like ``Kernel`` and with the same bits."""

    _rows: Any
    _stored: tuple[int, int, int, bool]
    _window: tuple[int, int]
    _normal: Normal | None
    _field: npt.NDArray[np.float32] | None

    def fill(
        self, index: npt.NDArray[np.int64], views: Views | None, out: npt.NDArray[Any]
    ) -> None:
        """Write the images ``index`` (n,) as their views show them to ``out`` (n, *shape).

        Raises:
            IndexError: there is no such image; what was written so far stays.
        """
        top, left, mirrored = (
            (None, None, None) if views is None else (views.top, views.left, views.mirrored)
        )
        extension.native.gather(
            self._rows,
            np.ascontiguousarray(index, np.int64),
            None if top is None else np.ascontiguousarray(top, np.int64),
            None if left is None else np.ascontiguousarray(left, np.int64),
            None if mirrored is None else np.ascontiguousarray(mirrored, np.bool_),
            out,
            self._stored,
            self._window,
            (*finish(self._normal, out, None if views is None else views.bias), self._field),
        )


def finish(
    normal: Normal | None, out: npt.NDArray[Any], bias: npt.NDArray[np.float32] | None = None
) -> tuple[Any, ...]:
    """What the extension is told of the values of ``out``: type, scale, bias, past the caches.

    ``bias`` (n, channels) takes the place of the normalisation's.
    """
    bypass = out.nbytes >= _BYPASS
    if normal is None:
        return 0, None, None, bypass
    own = normal.bias if bias is None else np.ascontiguousarray(bias, np.float32)
    return _TYPES[normal.dtype], normal.scale, own, bypass


def compiled(images: Images, normal: Normal | None, window: tuple[int, int]) -> Compiled | None:
    """The kernel in C for these images; None where it was not built or has no code for them."""
    shards = images.pixels.shards
    fits = images.dtype == np.uint8 and all(shard.flags.c_contiguous for shard in shards)
    if extension.native is None or not fits:
        return None
    if normal and not np.isfinite([normal.scale, normal.bias]).all():
        return None  # what becomes of a NaN is NumPy's to say
    rows = extension.native.rows(shards, int(np.prod(images.size)))
    field = normal.field if normal else None
    return Compiled(rows, (*images.size, images.planar), window, normal, field)
