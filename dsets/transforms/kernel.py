"""The fused kernel: gather, crop, mirror, scale and store, in one pass.

In C where the extension was built (``compiled``), else in NumPy, a cache-sized chunk of rows at a
time; both are what ``specification`` says, bit for bit. NumPy has no single loop for this, so it
makes each step one call over a chunk that stays in the level-2 cache: a line of a window is one
item of a void type, read at any byte offset of the padded images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dsets.transforms.compiled import Compiled, compiled
from dsets.transforms.half import Table, look_up, tables
from dsets.transforms.resized import Stack, resize
from dsets.transforms.scratch import Scratch, mirror
from dsets.transforms.subtract_mean import Normal
from dsets.transforms.view import Views

#: Bytes of one chunk: its stored pixels and one channel of it as float32. Half of it does not
#: amortise NumPy's calls and the threads' turns at the interpreter; twice leaves the cache.
_CHUNK = 1536 << 10
#: Pixels of a window from which on NumPy's calls are few enough to do one image after the other.
_LARGE = 4096


class Stored(Protocol):
    """Images as a pack stores them: one array (n_shard, …) a shard."""

    @property
    def shards(self) -> Sequence[npt.NDArray[Any]]: ...

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """(shards + 1,): the number of each shard's first image, and of images."""

    def take(self, index: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> None:
        """Copy the images ``index`` (m,) to ``out`` (m, …)."""


def _lines(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view of pixels (n, planes, height, width, group), each line one item of a void type."""
    width, group = pixels.shape[3:]
    flat = pixels.reshape(*pixels.shape[:3], width * group)  # its pixels lie side by side: a view
    lines: npt.NDArray[Any] = flat.view(f"V{width * group * pixels.itemsize}")
    return lines


@dataclass(frozen=True, slots=True)
class Images:
    """An image field of a pack: ``size`` is (height, width, channels) of its images; ``planar``
    says that they are stored (C, H, W)."""

    pixels: Stored
    size: tuple[int, int, int]
    planar: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.pixels.shards[0].dtype

    @property
    def stored(self) -> tuple[int, int, int]:
        height, width, channels = self.size
        return (channels, height, width) if self.planar else self.size


@dataclass(frozen=True, slots=True)
class Kernel:
    """From stored images to finished rows: windows of ``window`` (height, width), all of it by
    default."""

    images: Images
    normal: Normal | None
    window: tuple[int, int] = (0, 0)
    crops: int = 1  # of each image
    _compiled: Compiled | None = field(init=False)
    _scratch: Scratch = field(init=False, default_factory=Scratch)
    _tables: tuple[Table, ...] = field(init=False)
    #: Scale and bias, float32 (channels, 1, 1); nothing without a normalisation.
    _factors: tuple[npt.NDArray[np.float32], ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.window == (0, 0):
            object.__setattr__(self, "window", self.images.size[:2])
        found = compiled(self.images, self.normal, self.window)
        object.__setattr__(self, "_compiled", found)
        plain = self.normal is None or self.normal.field is None
        wanted = self.normal if self.dtype == np.float16 and plain and not found else None
        object.__setattr__(self, "_tables", tables(wanted) if wanted else ())
        factors = (self.normal.scale, self.normal.bias) if self.normal else ()
        object.__setattr__(self, "_factors", tuple(each[:, None, None] for each in factors))

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.normal.dtype) if self.normal else self.images.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one finished row: (C, H, W) when normalised, else (H, W, C); before it the crops,
        where they are several."""
        (height, width), channels = self.window, self.images.size[2]
        one = (channels, height, width) if self.normal else (height, width, channels)
        return one if self.crops == 1 else (self.crops, *one)

    def fill(
        self, index: npt.NDArray[np.int64], views: Views | None, out: npt.NDArray[Any]
    ) -> None:
        """Write the images ``index`` (n,) as their views show them to ``out`` (n, *shape), whose
        rows are contiguous."""
        if self.crops > 1 and views is not None:
            index, views = np.repeat(index, self.crops), views.flat()
            out = out.reshape(len(index), *self.shape[1:])
        if views is not None and views.height is not None:
            self._resized(index, views, out)
            return
        if self._compiled:
            self._compiled.fill(index, views, out)
            return
        height, width, channels = self.images.size
        whole = views is None and self.window == (height, width)
        if whole and not self.normal and (channels == 1 or not self.images.planar):
            self.images.pixels.take(index, out.reshape(len(index), *self.images.stored))
            return
        if (views is None or not views.margin) and self.window[0] * self.window[1] >= _LARGE:
            self._one_by_one(index, views, out)
            return
        row_bytes = height * width * (channels * self.images.dtype.itemsize + 4)
        step = max(1, _CHUNK // row_bytes)
        for first in range(0, len(index), step):
            rows = slice(first, min(first + step, len(index)))
            part = None if views is None else views[rows]
            self._finish(self._shown(index[rows], part, step), part, out[rows], step)

    def _resized(self, index: npt.NDArray[np.int64], views: Views, out: npt.NDArray[Any]) -> None:
        """Boxes become whole images, a chunk of them, and these are finished as stored ones are."""
        step = max(1, _CHUNK // (self.window[0] * self.window[1] * self.images.size[2]))
        for first in range(0, len(index), step):
            rows = slice(first, min(first + step, len(index)))
            part = views[rows]
            shown = np.empty((len(index[rows]), *self.window, self.images.size[2]), np.uint8)
            for box, small in zip(self._boxes(index[rows], part), shown, strict=True):
                resize(box, small)
            images = Images(Stack(shown), (*self.window, self.images.size[2]), False)
            whole = Views(self.window, mirrored=part.mirrored, bias=part.bias)
            Kernel(images, self.normal).fill(np.arange(len(shown)), whole, out[rows])

    def _boxes(self, index: npt.NDArray[np.int64], views: Views) -> Iterator[npt.NDArray[Any]]:
        """Each image's box (height, width, channels), where it lies."""
        pixels = self.images.pixels
        shard = np.searchsorted(pixels.starts, index, side="right") - 1
        edges = (views.top, views.left, views.height, views.width)
        numbers = [edge.tolist() for edge in edges if edge is not None]
        where = zip(shard.tolist(), (index - pixels.starts[shard]).tolist(), *numbers, strict=True)
        for number, place, top, left, height, width in where:
            image = pixels.shards[number][place]
            upright = image.transpose(1, 2, 0) if self.images.planar else image
            yield upright[top : top + height, left : left + width]

    def _one_by_one(
        self, index: npt.NDArray[np.int64], views: Views | None, out: npt.NDArray[Any]
    ) -> None:
        """Large windows within their images are read where they lie."""
        pixels = self.images.pixels
        chosen = (views.top, views.left, views.mirrored) if views else (None, None, None)
        top, left, mirrored = (
            [0] * len(index) if values is None else values.tolist() for values in chosen
        )
        shard = np.searchsorted(pixels.starts, index, side="right") - 1
        where = zip(shard.tolist(), (index - pixels.starts[shard]).tolist(), strict=True)
        # Whether the values depend on the view: to take one of many costs as much as a step.
        seen = views is not None and views.bias is not None
        seen |= self.normal is not None and self.normal.field is not None
        for row, (number, place) in enumerate(where):
            lines = slice(top[row], top[row] + self.window[0])
            columns = slice(left[row], left[row] + self.window[1])
            image = pixels.shards[number][place : place + 1]
            if self.images.planar:
                shown = image[:, :, lines, columns]
                shown = mirror(shown, self._scratch) if mirrored[row] else shown
            else:
                shown = image[:, lines, columns]
                shown = shown[:, :, ::-1] if mirrored[row] else shown
            part = views[row : row + 1] if views is not None and seen else None
            self._finish(shown, part, out[row : row + 1], 1)

    def _finish(
        self, shown: npt.NDArray[Any], views: Views | None, out: npt.NDArray[Any], step: int
    ) -> None:
        own_bias = views is not None and views.bias is not None
        if self.normal is None:
            self._interleave(shown, out)
        elif self._tables and not own_bias and self.images.dtype == np.uint8:
            for channel, table in enumerate(self._tables):
                bytes_ = shown[:, channel] if self.images.planar else shown[..., channel]
                look_up(bytes_, table, out[:, channel], step, self._scratch)
        else:
            self._scale(shown, self.normal.field, views or Views(self.window), out, step)

    def _shown(
        self, index: npt.NDArray[np.int64], views: Views | None, step: int
    ) -> npt.NDArray[Any]:
        """The chunk's windows (n, …) in stored layout, before any change of values."""
        stored = self._scratch.zeros("stored", (step, *self.images.stored), self.images.dtype)
        shown = stored[: len(index)]
        whole = self.window == self.images.size[:2]
        if whole and (views is None or (views.top is None and views.mirrored is None)):
            self.images.pixels.take(index, shown)
            return shown
        views = views or Views(self.window)
        none = np.zeros(len(index), np.int64)
        mirrored = none > 0 if views.mirrored is None else views.mirrored
        top = none if views.top is None else views.top
        left = none if views.left is None else views.left
        rest = self.images.size[1] - self.window[1]
        left = np.where(mirrored, rest - left, left)  # in the mirrored image
        # Those to mirror stand last, so that they turn round while they are copied to the padded
        # images; the windows are then read in the order of the batch.
        turned = np.argsort(mirrored, kind="stable")
        place = np.empty_like(turned)
        place[turned] = np.arange(len(turned))
        self.images.pixels.take(index[turned], shown)
        plain = len(index) - int(np.count_nonzero(mirrored))
        return self._windows(shown, plain, place, top, left, views.margin, step)

    def _windows(
        self,
        stored: npt.NDArray[Any],
        plain: int,
        place: npt.NDArray[np.int64],
        top: npt.NDArray[np.int64],
        left: npt.NDArray[np.int64],
        margin: int,
        step: int,
    ) -> npt.NDArray[Any]:
        """Row i is the window at (top[i], left[i]) of the image ``stored[place[i]]``; the images
        from ``plain`` on are mirrored first."""
        height, width, channels = self.images.size
        lines, columns = self.window
        margin = min(margin, max(height, width))  # further out there is nothing to see
        top = np.clip(top, -margin, height - lines + margin)
        left = np.clip(left, -margin, width - columns + margin)
        planes, group = (channels, 1) if self.images.planar else (1, channels)
        pixel = self.images.dtype.itemsize * group
        line, padded_line = columns * pixel, (width + 2 * margin) * pixel
        padded_plane = (height + 2 * margin) * padded_line
        size = (step, planes, height + 2 * margin, width + 2 * margin, group)
        padded = self._scratch.zeros("padded", size, self.images.dtype)
        inner = padded[: len(stored), :, margin : margin + height, margin : margin + width]
        upright = stored.reshape(inner.shape)
        _lines(inner[:plain])[...] = _lines(upright[:plain])
        inner[plain:] = upright[plain:, :, :, ::-1]
        anywhere: npt.NDArray[Any] = np.ndarray(
            (padded.nbytes - line + 1,), f"V{line}", padded, strides=(1,)
        )
        corner = place * (planes * padded_plane) + (
            (top + margin) * padded_line + (left + margin) * pixel
        )
        down = (np.arange(planes) * padded_plane)[:, None] + np.arange(lines) * padded_line
        shown = anywhere[corner[:, None] + down.ravel()]
        layout = (channels, lines, columns) if self.images.planar else (lines, columns, channels)
        finished: npt.NDArray[Any] = shown.view(self.images.dtype).reshape(len(stored), *layout)
        return finished

    def _interleave(self, shown: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        if not self.images.planar:
            out[...] = shown
            return
        for channel in range(shown.shape[1]):
            out[..., channel] = shown[:, channel]

    def _scale(
        self,
        shown: npt.NDArray[Any],
        field: npt.NDArray[np.float32] | None,
        views: Views,
        out: npt.NDArray[Any],
        step: int,
    ) -> None:
        channels, (scale, bias) = self.images.size[2], self._factors
        if views.bias is not None:
            bias = views.bias[:, :, None, None]
        upright = shown if self.images.planar else np.moveaxis(shown, -1, 1)
        single = out.dtype == np.float32
        # One image takes all its channels in one call: threads that make many calls wait for each
        # other's turns at the interpreter. Of a chunk, a channel is what a cache holds.
        together = channels if single and step == 1 else 1
        for first in range(0, channels, together):
            part = slice(first, first + together)
            # Every step where the result will lie: memory is fetched once, and is near thereafter.
            planes = out[:, part] if single else self._plane(step)[: len(shown)]
            planes[...] = upright[:, part]
            np.multiply(planes, scale[part], out=planes)
            if field is not None:
                for row in range(len(planes)):
                    for each, plane in zip(field[part], planes[row], strict=True):
                        views.add_field(row, each, plane)
            np.add(planes, bias[..., part, :, :], out=planes)
            if not single:
                with np.errstate(over="ignore"):
                    out[:, part] = planes

    def _plane(self, step: int) -> npt.NDArray[np.float32]:
        return self._scratch.zeros("plane", (step, 1, *self.window), np.float32)
