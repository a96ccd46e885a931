"""A view: which window of each stored image a batch shows, and whether mirrored.

Geometric transforms only choose views; the kernel moves the pixels once, however many they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dsets.errors import UsageError


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes within n images, each int64 (n,), in pixels: ``height`` by ``width`` from the corner
    (``top``, ``left``) on."""

    top: npt.NDArray[np.int64]
    left: npt.NDArray[np.int64]
    height: npt.NDArray[np.int64]
    width: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Views:
    """The views of n images: windows of ``size`` (height, width), all the same.

    ``top`` and ``left`` are int64 (n,), the window's corner in the stored image; a window reaches
    over the image's border by at most ``margin`` pixels, and what it shows there is 0.
    ``mirrored`` is bool (n,): the window is shown right to left. None stands for "all zero".

    ``height`` and ``width``, int64 (n,), are there when boxes of those sizes, from the corner on
    and within the image, are resized to ``size``, and then mirrored. ``bias``, float32 (n,
    channels), takes the place of the normalisation's. Where an image is shown several times,
    ``top``, ``left`` and ``mirrored`` are (n, crops).
    """

    size: tuple[int, int]
    margin: int = 0
    top: npt.NDArray[np.int64] | None = None
    left: npt.NDArray[np.int64] | None = None
    mirrored: npt.NDArray[np.bool_] | None = None
    height: npt.NDArray[np.int64] | None = None
    width: npt.NDArray[np.int64] | None = None
    bias: npt.NDArray[np.float32] | None = None

    def shifted(
        self, down: npt.NDArray[np.int64], right: npt.NDArray[np.int64], margin: int
    ) -> Views:
        """The same images through windows moved ``down`` rows and ``right`` columns."""
        return self._moved(down, right, margin, self.size)

    def windowed(
        self, down: npt.NDArray[np.int64], right: npt.NDArray[np.int64], size: tuple[int, int]
    ) -> Views:
        """Windows of ``size`` within these, with the corner ``down`` and ``right`` of theirs."""
        return self._moved(down, right, 0, size)

    def resized(self, boxes: Boxes, size: tuple[int, int]) -> Views:
        """Boxes within these windows, each resized to ``size``."""
        if self.top is not None:
            raise UsageError("an image is cropped twice", remedy="give one crop")
        left = boxes.left
        if self.mirrored is not None:
            left = np.where(self.mirrored, self.size[1] - boxes.width - left, left)
        return Views(size, 0, boxes.top, left, self.mirrored, boxes.height, boxes.width)

    def _moved(
        self,
        down: npt.NDArray[np.int64],
        right: npt.NDArray[np.int64],
        margin: int,
        size: tuple[int, int],
    ) -> Views:
        """Right is right as shown: where a view is already mirrored, it is left in the image."""
        if self.top is not None:
            raise UsageError("an image is cropped twice", remedy="give one crop")
        if self.mirrored is not None:
            right = np.where(self.mirrored, self.size[1] - size[1] - right, right)
        return Views(size, margin, down, right, self.mirrored)

    def flipped(self, which: npt.NDArray[np.bool_]) -> Views:
        """The same windows, mirrored where ``which`` says so."""
        mirrored = which if self.mirrored is None else self.mirrored ^ which
        return replace(self, mirrored=mirrored)

    def flat(self) -> Views:
        """Views (n, crops) as views (n * crops,)."""
        top, left, mirrored = (
            None if values is None else values.reshape(-1)
            for values in (self.top, self.left, self.mirrored)
        )
        return Views(self.size, self.margin, top, left, mirrored)  # type: ignore[arg-type]

    def add_field(
        self, row: int, field: npt.NDArray[np.float32], plane: npt.NDArray[np.float32]
    ) -> None:
        """Add to ``plane``, of ``size``, what view ``row`` shows of a field (height, width), which
        is 0 outside."""
        top = 0 if self.top is None else int(self.top[row])
        left = 0 if self.left is None else int(self.left[row])
        lines = slice(max(top, 0), max(top + self.size[0], 0))
        columns = slice(max(left, 0), max(left + self.size[1], 0))
        part = field[lines, columns]
        upright = plane[:, ::-1] if self.mirrored is not None and self.mirrored[row] else plane
        down, right = lines.start - top, columns.start - left
        shown = upright[down : down + part.shape[0], right : right + part.shape[1]]
        np.add(shown, part, out=shown)

    def __getitem__(self, rows: slice) -> Views:
        return Views(
            self.size,
            self.margin,
            None if self.top is None else self.top[rows],
            None if self.left is None else self.left[rows],
            None if self.mirrored is None else self.mirrored[rows],
            None if self.height is None else self.height[rows],
            None if self.width is None else self.width[rows],
            None if self.bias is None else self.bias[rows],
        )
