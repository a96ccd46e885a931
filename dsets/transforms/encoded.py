"""Encoded images of any size → finished rows of a batch: the counterpart of ``Kernel``.

The geometry of a recipe chooses its windows from each image's own size, by the same draws as for
raw pixels, so a raw and an encoded pack of the same samples show the same boxes. JPEGs are decoded,
cropped, resized and finished by one call into the C extension, without the interpreter's lock and
no further than the last row of the box; other formats, rarer JPEGs, and everything where the
extension was not built, go through ``codecs.window``, to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
from dsets.transforms.subtract_mean import SubtractMean
from dsets.transforms.ten_crop import TenCrop
from dsets.transforms.view import Views

CHANNELS = 3
#: Rows whose pixels wait for their mean image to be subtracted.
_AT_ONCE = 16

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

    A recipe without a crop keeps an image's size, so all must have the ``size`` that is given here.
    ``name`` gives a sample's key.
    """

    strings: Strings
    recipe: Recipe
    native: bool = True
    size: tuple[int, int] = (0, 0)
    name: Callable[[int], str] = str
    window: tuple[int, int] = field(init=False)
    _field: npt.NDArray[np.float32] | None = field(init=False)
    _rows: Any = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", self.recipe.window(self.size))
        native = self.native and extension.jpeg
        native = native and all(bounds.dtype.isnative for bounds in self.strings.bounds)
        made = (
            extension.native.strings(self.strings.shards, self.strings.bounds) if native else None
        )
        object.__setattr__(self, "_rows", made)
        normal = self.recipe.normal
        object.__setattr__(self, "_field", None if normal is None else normal.field)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.recipe.normal.dtype if self.recipe.normal else "uint8")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one finished row: (C, H, W) when normalised, else (H, W, C); before it the crops,
        where there are several."""
        one = (CHANNELS, *self.window) if self.recipe.normal else (*self.window, CHANNELS)
        return one if self.recipe.crops == 1 else (self.recipe.crops, *one)

    def fill(self, index: Ints, draws: Draws, out: npt.NDArray[Any]) -> tuple[Unreadable, ...]:
        """Write the images ``index`` (n,), as the recipe shows them for these draws, to ``out``
        (n, *shape). Returns the rows that could not be: theirs are undefined.

        Raises:
            StreamError: an image is readable, but of a size that the recipe cannot show.
        """
        sizes = self._sizes(index)
        unknown = sizes[:, 0] == 0
        sizes[unknown] = self._some_size  # any that serves; these rows are not shown
        self._check(index, sizes)
        views = self.recipe.choose((sizes[:, 0].copy(), sizes[:, 1].copy()), draws)
        views = replace(views, size=self.window)  # without a crop it is still one for each
        if self.recipe.crops > 1:
            index, unknown = (np.repeat(one, self.recipe.crops) for one in (index, unknown))
            views, out = views.flat(), out.reshape(-1, *self.shape[1:])
        boxes = self._boxes(views, len(index))
        status = np.ones(len(index), np.uint8)
        if self._rows is not None:
            step = max(1, len(index)) if self._field is None else _AT_ONCE
            for first in range(0, len(index), step):
                part = slice(first, first + step)
                self._call(index[part], boxes[part], views, part, out[part], status[part])
        found: dict[int, str] = {}
        for row in np.flatnonzero(status | unknown).tolist():
            try:
                shown = codecs.window(
                    self.strings.get(int(index[row])), codecs.Box(*boxes[row].tolist()), self.window
                )
                mirror = views.mirrored is not None and views.mirrored[row]
                self._finish(shown[:, ::-1] if mirror else shown, views, row, out[row])
            except DataError as error:
                found.setdefault(row // self.recipe.crops, str(error))
        return tuple(Unreadable(row, reason) for row, reason in found.items())

    def _call(
        self,
        index: Ints,
        boxes: Ints,
        views: Views,
        part: slice,
        out: npt.NDArray[Any],
        status: npt.NDArray[np.uint8],
    ) -> None:
        """Some rows by the extension, whose decoder knows nothing of a mean image; status stays
        above 0 where it could not."""
        normal, pixels = self.recipe.normal, out
        if self._field is not None:
            normal, pixels = None, np.empty((len(index), *self.window, CHANNELS), np.uint8)
        bias = None if views.bias is None else views.bias[part]
        mirrored = None if views.mirrored is None else views.mirrored[part]
        extension.native.jpeg_rows(
            self._rows,
            np.ascontiguousarray(index, np.int64),
            boxes,
            None if mirrored is None else np.ascontiguousarray(mirrored, np.bool_),
            pixels,
            self.window,
            finish(normal, pixels, bias),
            codecs.MAX_PIXELS,
            status,
        )
        if self._field is not None:
            for row in np.flatnonzero(status == 0).tolist():
                self._finish(pixels[row], views, part.start + row, out[row])

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

    def _check(self, index: Ints, sizes: Ints) -> None:
        height, width = self.window
        normal = self.recipe.normal
        if isinstance(normal, SubtractMean):
            wrong = (sizes != normal.image.shape[:2]).any(axis=1)
            expected = "{} by {} pixels, as the mean image".format(*normal.image.shape)
        elif any(
            isinstance(transform, Crop | CentreCrop | TenCrop) for transform in self.recipe.geometry
        ):
            wrong = (sizes < self.window).any(axis=1)
            expected = f"images of at least {height} by {width} pixels, or a crop that resizes"
        elif self.recipe.window((0, 0)) == (0, 0):
            wrong = (sizes != self.window).any(axis=1)
            expected = f"{height} by {width} pixels as the first one, or a crop"
        else:
            return
        if wrong.any():
            row = int(wrong.argmax())
            raise StreamError(
                "images that make no batch",
                where=f"image of sample {self.name(int(index[row]))!r}",
                expected=expected,
                got="{} by {} pixels".format(*sizes[row].tolist()),
            )

    @property
    def _some_size(self) -> tuple[int, int]:
        """A size that ``_check`` passes."""
        normal = self.recipe.normal
        return normal.image.shape[:2] if isinstance(normal, SubtractMean) else self.window

    def _boxes(self, views: Views, rows: int) -> Ints:
        """Top, left, height and width in the images, int64 (rows, 4)."""
        boxes = np.zeros((rows, 4), np.int64)
        boxes[:, 2:] = self.window
        chosen = (views.top, views.left, views.height, views.width)
        for column, values in enumerate(chosen):
            if values is not None:
                boxes[:, column] = values
        return boxes

    def _finish(
        self, shown: npt.NDArray[np.uint8], views: Views, row: int, out: npt.NDArray[Any]
    ) -> None:
        """What is shown of one image, mirrored where its view is, as the recipe finishes it."""
        normal, bias = self.recipe.normal, None if views.bias is None else views.bias[row]
        if normal is None:
            out[...] = shown
        elif self._field is None:
            out[...] = specification.normalise(shown, normal, bias=bias)
        else:  # its scale is 1
            values = np.ascontiguousarray(shown.transpose(2, 0, 1), np.float32)
            for channel, plane in enumerate(values):
                views.add_field(row, self._field[channel], plane)
            values += (normal.bias if bias is None else bias)[:, None, None]
            out[...] = values
