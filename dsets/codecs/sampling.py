"""Decoded images resized and cropped: by Pillow, or by the extension to the same bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsets import extension
from dsets.codecs.geometry import Resize
from dsets.codecs.profile import Filter
from dsets.codecs.span import span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

#: The filters by the numbers of native/native.h.
FILTERS = {"bilinear": 0, "bicubic": 1}


def asked(size: Resize, filter: Filter) -> tuple[NDArray[np.uint8], tuple[Any, ...]]:
    """Room for a crop, uint8 (crop_height, crop_width, 3), and how to ask the extension for it."""
    import numpy as np

    target = np.empty((size.crop_height, size.crop_width, 3), np.uint8)
    resized, crop = (size.width, size.height), (size.crop_width, size.crop_height)
    return target, (*resized, size.left, size.top, target, *crop, FILTERS[filter])


def resampled(image: Image.Image, size: Resize, filter: Filter) -> NDArray[np.uint8]:
    """uint8 (crop_height, crop_width, 3): the pixels of ``sampled``, by the extension, of RGB."""
    target, crop = asked(size, filter)
    extension.native.resize(image.tobytes("raw", "RGBX"), image.width, image.height, *crop)
    return target


def sampled(image: Image.Image, size: Resize, filter: Filter) -> Image.Image:
    """Resized and cropped by Pillow, to the same pixels whatever its version."""
    from PIL import Image

    kind = Image.Resampling.BICUBIC if filter == "bicubic" else Image.Resampling.BILINEAR
    # One pass a call: which of the two Pillow does first depends on its version. The first leaves
    # every row, or column, to itself, so those outside the crop need no second one. With a box it
    # also leaves out outputs, where float32 holds the box.
    right, bottom = size.left + size.crop_width, size.top + size.crop_height
    if _down_comes_first(image.width, image.height, size):
        image = image.resize((image.width, size.height), kind)
        image = _cropped(image, (0, size.top, image.width, bottom))
        image = image.resize((size.width, size.crop_height), kind)
        return _cropped(image, (size.left, 0, right, size.crop_height))
    first, last = span(image.width, size.width, size.left, right, filter)
    start, stop = first * image.width / size.width, last * image.width / size.width
    image = image.resize((last - first, image.height), kind, (start, 0, stop, image.height))
    image = _cropped(image, (size.left - first, 0, right - first, image.height))
    first, last = span(image.height, size.height, size.top, bottom, filter)
    start, stop = first * image.height / size.height, last * image.height / size.height
    image = image.resize((size.crop_width, last - first), kind, (0, start, size.crop_width, stop))
    return _cropped(image, (0, size.top - first, size.crop_width, bottom - first))


def _cropped(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """The box of an image; Pillow would copy the whole image, too."""
    return image if box == (0, 0, *image.size) else image.crop(box)


def _down_comes_first(width: int, height: int, size: Resize) -> bool:
    return height > size.height and height - size.height > 2 * (width - size.width)
