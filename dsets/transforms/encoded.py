"""Encoded images of any size → finished rows of a batch: the counterpart of ``Kernel``.

The geometry of a recipe chooses its windows from each image's own size, by the same draws as for
raw pixels, so a raw and an encoded pack of the same samples show the same boxes. JPEGs are decoded,
cropped, resized and finished by one call into the C extension, without the interpreter's lock and
no further than the last row of the box; other formats, rarer JPEGs, and everything where the
extension was not built, go through ``codecs.window``, to the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dsets import codecs, extension
from dsets.errors import DataError, StreamError
from dsets.transforms import specification
from dsets.transforms.compiled import finish
from dsets.transforms.crop import CentreCrop, Crop
from dsets.transforms.random import Draws
from dsets.transforms.recipe import Recipe
from dsets.transforms.view import Views

CHANNELS = 3

Ints = npt.NDArray[np.int64]


class Strings(Protocol):
    """Byte strings as a pack stores them: a flat array a shard, and the bounds of its rows."""

    @property
    def shards(self) -> Sequence[npt.NDArray[np.uint8]]: ...

    @property
    def bounds(self) -> Sequence[npt.NDArray[np.uint64]]: ...

    def get(self, number: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row of a batch whose image could not be shown, and why."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """From encoded images to finished rows, RGB, of ``window`` (height, width).

    A recipe without a crop keeps an image's size, so all must have that of the pack's first.
    """

    strings: Strings
    recipe: Recipe
    native: bool = True
    window: tuple[int, int] = field(init=False)
    _rows: Any = field(init=False)

    def __post_init__(self) -> None:
        window = self.recipe.window((0, 0))
        if window == (0, 0):
            window = codecs.size_of(self.strings.get(0))
        object.__setattr__(self, "window", window)
        native = self.native and extension.jpeg
        native = native and all(bounds.dtype.isnative for bounds in self.strings.bounds)
        made = (
            extension.native.strings(self.strings.shards, self.strings.bounds) if native else None
        )
        object.__setattr__(self, "_rows", made)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.recipe.normal.dtype if self.recipe.normal else "uint8")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one finished row: (C, H, W) when normalised, else (H, W, C)."""
        return (CHANNELS, *self.window) if self.recipe.normal else (*self.window, CHANNELS)

    def fill(self, index: Ints, draws: Draws, out: npt.NDArray[Any]) -> tuple[Unreadable, ...]:
        """Write the images ``index`` (n,), as the recipe shows them for these draws, to ``out``
        (n, *shape). Returns the rows that could not be: theirs are undefined.

        Raises:
            StreamError: an image is readable, but of a size that the recipe cannot show.
        """
        sizes = self._sizes(index)
        unknown = sizes[:, 0] == 0
        sizes[unknown] = self.window  # any that serves; these rows are not shown
        self._check(sizes)
        views = self.recipe.choose((sizes[:, 0].copy(), sizes[:, 1].copy()), draws)
        boxes, mirrored = self._boxes(views, len(index)), views.mirrored
        status = np.ones(len(index), np.uint8)
        if self._rows is not None:
            extension.native.jpeg_rows(
                self._rows,
                np.ascontiguousarray(index, np.int64),
                boxes,
                None if mirrored is None else np.ascontiguousarray(mirrored, np.bool_),
                out,
                self.window,
                finish(self.recipe.normal, out, views.bias),
                codecs.MAX_PIXELS,
                status,
            )
        found = []
        for row in np.flatnonzero(status | unknown).tolist():
            try:
                self._show(int(index[row]), codecs.Box(*boxes[row].tolist()), views, row, out[row])
            except DataError as error:
                found.append(Unreadable(row, str(error)))
        return tuple(found)

    def _sizes(self, index: Ints) -> Ints:
        """Height and width of each image, int64 (n, 2); 0 and 0 of the unreadable."""
        sizes = np.zeros((len(index), 2), np.int64)
        if self._rows is not None:
            extension.native.jpeg_sizes(self._rows, np.ascontiguousarray(index, np.int64), sizes)
        for row in np.flatnonzero(sizes[:, 0] == 0).tolist():
            try:
                sizes[row] = codecs.size_of(self.strings.get(int(index[row])))
            except DataError:
                continue
        return sizes

    def _check(self, sizes: Ints) -> None:
        height, width = self.window
        if any(isinstance(transform, Crop | CentreCrop) for transform in self.recipe.geometry):
            wrong = (sizes < self.window).any(axis=1)
            expected = f"images of at least {height} by {width} pixels, or a crop that resizes"
        elif self.recipe.window((0, 0)) == (0, 0):
            wrong = (sizes != self.window).any(axis=1)
            expected = f"{height} by {width} pixels as the first one, or a crop"
        else:
            return
        if wrong.any():
            got = "{} by {} pixels".format(*sizes[wrong][0].tolist())
            raise StreamError(
                "images that make no batch", where="image", expected=expected, got=got
            )

    def _boxes(self, views: Views, rows: int) -> Ints:
        """Top, left, height and width in the images, int64 (rows, 4)."""
        boxes = np.zeros((rows, 4), np.int64)
        boxes[:, 2:] = self.window
        chosen = (views.top, views.left, views.height, views.width)
        for column, values in enumerate(chosen):
            if values is not None:
                boxes[:, column] = values
        return boxes

    def _show(
        self, number: int, box: codecs.Box, views: Views, row: int, out: npt.NDArray[Any]
    ) -> None:
        """One image without the extension. Raises DataError."""
        shown = codecs.window(self.strings.get(number), box, self.window)
        if views.mirrored is not None and views.mirrored[row]:
            shown = shown[:, ::-1]
        normal, bias = self.recipe.normal, None if views.bias is None else views.bias[row]
        out[...] = shown if normal is None else specification.normalise(shown, normal, bias=bias)
