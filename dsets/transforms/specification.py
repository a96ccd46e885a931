"""What the kernels must compute, image by image, in the plainest NumPy. The oracle of the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.transforms.normalise import Normalise


def window(
    image: npt.NDArray[Any], top: int, left: int, mirrored: bool, size: tuple[int, int]
) -> npt.NDArray[Any]:
    """The window of an image (H, W, C) whose corner is at (top, left); outside is 0."""
    height, width, channels = image.shape
    shown = np.zeros((*size, channels), image.dtype)
    for y in range(size[0]):
        for x in range(size[1]):
            if 0 <= y + top < height and 0 <= x + left < width:
                shown[y, x] = image[y + top, x + left]
    return shown[:, ::-1] if mirrored else shown


def normalise(image: npt.NDArray[Any], normal: Normalise) -> npt.NDArray[Any]:
    """An image (H, W, C) as floats (C, H, W)."""
    scaled = image.astype(np.float32) * normal.scale + normal.bias
    return scaled.transpose(2, 0, 1).astype(normal.dtype)
