"""The fused kernel: gather, crop, mirror, scale and store, a cache-sized chunk of rows at a time.

This is the NumPy version of what ``specification`` says, equal to it bit for bit. NumPy has no
single loop for this, so it makes each step one call over a chunk that stays in the level-2 cache:
a line of a window is one item of a void type, read at any byte offset of the padded images.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.transforms.normalise import Normalise
from dsets.transforms.view import Views

#: Bytes of one chunk: its stored pixels and one channel of it as float32. Half of it does not
#: amortise NumPy's calls and the threads' turns at the interpreter; twice leaves the cache.
_CHUNK = 1536 << 10

Take = Callable[[npt.NDArray[np.int64], npt.NDArray[Any]], None]


def _lines(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view of pixels (n, planes, height, width, group), each line one item of a void type."""
    width, group = pixels.shape[3:]
    flat = pixels.reshape(*pixels.shape[:3], width * group)  # its pixels lie side by side: a view
    lines: npt.NDArray[Any] = flat.view(f"V{width * group * pixels.itemsize}")
    return lines


@dataclass(frozen=True, slots=True)
class Images:
    """An image field of a pack: ``take(index, out)`` gathers rows as they are stored.

    ``size`` is (height, width, channels); ``planar`` says that rows are stored (C, H, W).
    """

    take: Take
    dtype: np.dtype[Any]
    size: tuple[int, int, int]
    planar: bool

    @property
    def stored(self) -> tuple[int, int, int]:
        height, width, channels = self.size
        return (channels, height, width) if self.planar else self.size


class Scratch(threading.local):
    """Each thread's own memory between the steps, reused from batch to batch."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, tuple[int, ...], np.dtype[Any]], npt.NDArray[Any]] = {}

    def zeros(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Zero when it is first asked for; afterwards as it was left."""
        key = (name, shape, np.dtype(dtype))
        found = self._arrays.get(key)
        if found is None:
            found = self._arrays[key] = np.zeros(shape, dtype)
        return found


@dataclass(frozen=True, slots=True)
class Kernel:
    """From stored images to finished rows."""

    images: Images
    normal: Normalise | None
    _scratch: Scratch = field(default_factory=Scratch)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.normal.dtype) if self.normal else self.images.dtype

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one finished row: (C, H, W) when normalised, else (H, W, C)."""
        height, width, channels = self.images.size
        return (channels, height, width) if self.normal else (height, width, channels)

    def fill(
        self, index: npt.NDArray[np.int64], views: Views | None, out: npt.NDArray[Any]
    ) -> None:
        """Write the images ``index`` (n,) as their views show them to ``out`` (n, *shape)."""
        height, width, channels = self.images.size
        if views is None and not self.normal and (channels == 1 or not self.images.planar):
            self.images.take(index, out.reshape(len(index), *self.images.stored))
            return
        row_bytes = height * width * (channels * self.images.dtype.itemsize + 4)
        step = max(1, _CHUNK // row_bytes)
        for first in range(0, len(index), step):
            rows = slice(first, min(first + step, len(index)))
            shown = self._shown(index[rows], None if views is None else views[rows], step)
            if self.normal is None:
                self._interleave(shown, out[rows])
            elif self.normal.dtype == "float16" and self.images.dtype == np.uint8:
                self._look_up(shown, self.normal, out[rows])
            else:
                self._scale(shown, self.normal, out[rows], step)

    def _shown(
        self, index: npt.NDArray[np.int64], views: Views | None, step: int
    ) -> npt.NDArray[Any]:
        """The chunk's windows (n, *stored), before any change of values."""
        stored = self._scratch.zeros("stored", (step, *self.images.stored), self.images.dtype)
        shown = stored[: len(index)]
        if views is None or (views.top is None and views.mirrored is None):
            self.images.take(index, shown)
            return shown
        none = np.zeros(len(index), np.int64)
        mirrored = none > 0 if views.mirrored is None else views.mirrored
        top = none if views.top is None else views.top
        left = none if views.left is None else np.where(mirrored, -views.left, views.left)
        # Those to mirror stand last, so that they turn round while they are copied to the padded
        # images; the windows are then read in the order of the batch.
        turned = np.argsort(mirrored, kind="stable")
        place = np.empty_like(turned)
        place[turned] = np.arange(len(turned))
        self.images.take(index[turned], shown)
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
        margin = min(margin, max(height, width))  # further out there is nothing to see
        top, left = np.clip(top, -margin, margin), np.clip(left, -margin, margin)
        planes, group = (channels, 1) if self.images.planar else (1, channels)
        pixel = self.images.dtype.itemsize * group
        line, padded_line = width * pixel, (width + 2 * margin) * pixel
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
        lines = (np.arange(planes) * padded_plane)[:, None] + np.arange(height) * padded_line
        shown = anywhere[corner[:, None] + lines.ravel()]
        finished: npt.NDArray[Any] = shown.view(self.images.dtype).reshape(stored.shape)
        return finished

    def _interleave(self, shown: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        if not self.images.planar:
            out[...] = shown
            return
        for channel in range(shown.shape[1]):
            out[..., channel] = shown[:, channel]

    def _scale(
        self, shown: npt.NDArray[Any], normal: Normalise, out: npt.NDArray[Any], step: int
    ) -> None:
        scale, bias = normal.scale, normal.bias
        height, width, channels = self.images.size
        plane = self._scratch.zeros("plane", (step, height, width), np.float32)[: len(shown)]
        for channel in range(channels):
            plane[...] = shown[:, channel] if self.images.planar else shown[..., channel]
            np.multiply(plane, scale[channel], out=plane)
            if out.dtype == np.float32:
                np.add(plane, bias[channel], out=out[:, channel])
            else:
                np.add(plane, bias[channel], out=plane)
                with np.errstate(over="ignore"):
                    out[:, channel] = plane

    def _look_up(self, shown: npt.NDArray[Any], normal: Normalise, out: npt.NDArray[Any]) -> None:
        """NumPy converts to float16 in software; a table of 256 values is twice as fast."""
        with np.errstate(over="ignore"):
            values = np.arange(256, dtype=np.float32)[:, None] * normal.scale + normal.bias
            tables = np.ascontiguousarray(values.T).astype(np.float16)
        for channel in range(out.shape[1]):
            pixels = shown[:, channel] if self.images.planar else shown[..., channel]
            out[:, channel] = tables[channel][pixels]
