"""What the kernels must compute, image by image, in the plainest NumPy. The oracle of the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.codecs.geometry import Resize
from dsets.codecs.sampling import sampled
from dsets.transforms.subtract_mean import Normal


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


def normalise(
    image: npt.NDArray[Any],
    normal: Normal,
    mean: npt.NDArray[np.float32] | None = None,
    bias: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[Any]:
    """An image (H, W, C) as floats (C, H, W); ``mean`` is the mean image's window (H, W, C),
    ``bias`` (C,) takes the place of the normalisation's."""
    scaled = image.astype(np.float32) * normal.scale
    if mean is not None:
        scaled = scaled + -mean
    scaled = scaled + (normal.bias if bias is None else bias)
    return scaled.transpose(2, 0, 1).astype(normal.dtype)


def resized(
    image: npt.NDArray[np.uint8], top: int, left: int, box: tuple[int, int], size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """The box of an image (H, W, 3), cropped, then resized to ``size`` as Pillow does."""
    from PIL import Image

    shown = np.ascontiguousarray(image[top : top + box[0], left : left + box[1]])
    whole = Resize(size[1], size[0], 0, 0, size[1], size[0])
    return np.asarray(sampled(Image.fromarray(shown), whole, "bilinear"))
