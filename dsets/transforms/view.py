"""A view: which window of each stored image a batch shows, and whether mirrored.

Geometric transforms only choose views; the kernel moves the pixels once, however many they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsets.errors import UsageError


@dataclass(frozen=True, slots=True)
class Views:
    """The views of n images of ``size`` (height, width).

    ``top`` and ``left`` are int64 (n,), the window's corner in the stored image, from -margin to
    margin; pixels outside the image are 0. ``mirrored`` is bool (n,): the window is shown right to
    left. None stands for "all zero", "none".
    """

    size: tuple[int, int]
    margin: int = 0
    top: npt.NDArray[np.int64] | None = None
    left: npt.NDArray[np.int64] | None = None
    mirrored: npt.NDArray[np.bool_] | None = None

    def shifted(
        self, down: npt.NDArray[np.int64], right: npt.NDArray[np.int64], margin: int
    ) -> Views:
        """The same images through windows moved ``down`` rows and ``right`` columns.

        Right is right as shown: where a view is already mirrored, it is left in the stored image.
        """
        if self.top is not None:
            raise UsageError("an image is cropped twice", remedy="give one crop")
        if self.mirrored is not None:
            right = np.where(self.mirrored, -right, right)
        return Views(self.size, margin, down, right, self.mirrored)

    def flipped(self, which: npt.NDArray[np.bool_]) -> Views:
        """The same windows, mirrored where ``which`` says so."""
        mirrored = which if self.mirrored is None else self.mirrored ^ which
        return Views(self.size, self.margin, self.top, self.left, mirrored)

    def __getitem__(self, rows: slice) -> Views:
        return Views(
            self.size,
            self.margin,
            None if self.top is None else self.top[rows],
            None if self.left is None else self.left[rows],
            None if self.mirrored is None else self.mirrored[rows],
        )
