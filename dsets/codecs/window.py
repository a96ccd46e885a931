"""A box of an encoded image, at the size that a batch shows it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsets.codecs.geometry import Resize
from dsets.codecs.image import decode
from dsets.codecs.sampling import sampled
from dsets.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Box:
    """``height`` x ``width`` pixels of an image, from (top, left) on."""

    top: int
    left: int
    height: int
    width: int


def window(data: bytes, box: Box, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode, crop to ``box``, resize to ``size`` (height, width): uint8 (height, width, 3), RGB.

    The resize is bilinear and antialiased, over the box alone, as PIL.Image.resize of the cropped
    image. A box that has the size already is not resized, and may leave the image: what is outside
    is 0. This is the specification of the extension's ``jpeg_rows``, which gives the same bits.

    Raises:
        DataError: the bytes are no complete image, too large a one, or do not hold the box.
    """
    import numpy as np
    from PIL import Image

    pixels = decode(data)
    top, left = max(box.top, 0), max(box.left, 0)
    inside = pixels[top : max(box.top + box.height, 0), left : max(box.left + box.width, 0)]
    if (box.height, box.width) == size:
        shown = np.zeros((*size, 3), np.uint8)
        if inside.size:
            down, right = top - box.top, left - box.left
            shown[down : down + inside.shape[0], right : right + inside.shape[1]] = inside
        return shown
    if inside.shape[:2] != (box.height, box.width) or box.top < 0 or box.left < 0:
        raise DataError(
            "a box outside the image",
            expected=f"within {pixels.shape[0]} by {pixels.shape[1]} pixels",
            got=box,
        )
    height, width = size
    whole = Resize(width, height, 0, 0, width, height)
    return np.asarray(sampled(Image.fromarray(inside), whole, "bilinear"))
