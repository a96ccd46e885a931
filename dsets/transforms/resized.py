"""Boxes of stored images, resized: profile ``exact`` of ``dsets.codecs``, on the box alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets import extension
from dsets.codecs.geometry import Resize
from dsets.codecs.sampling import asked, sampled


@dataclass(frozen=True, slots=True)
class Stack:
    """Images in memory, as a kernel reads them."""

    pixels: npt.NDArray[Any]

    @property
    def shards(self) -> Sequence[npt.NDArray[Any]]:
        return (self.pixels,)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        return np.array([0, len(self.pixels)], np.int64)

    def take(self, index: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> None:
        np.take(self.pixels, index, axis=0, out=out, mode="clip")


def resize(box: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8]) -> None:
    """uint8 (height, width, 1 or 3), to ``out`` (lines, columns, the same channels)."""
    if box.shape == out.shape:
        out[...] = box
        return
    lines, columns = out.shape[:2]
    height, width = box.shape[:2]
    size = Resize(columns, lines, 0, 0, columns, lines)
    if extension.native is None:
        from PIL import Image

        whole = Image.fromarray(np.ascontiguousarray(np.broadcast_to(box, (height, width, 3))))
        out[...] = np.asarray(sampled(whole, size, "bilinear"))[..., : out.shape[2]]
        return
    padded = np.empty((height, width, 4), np.uint8)
    padded[..., :3] = box
    target, crop = asked(size, "bilinear")
    extension.native.resize(padded, width, height, *crop)
    out[...] = target[..., : out.shape[2]]
