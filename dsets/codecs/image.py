"""Encoded bytes → RGB pixels, by the C extension where it can and by Pillow everywhere else.

What happens to the unusual, on either path:

- greyscale: the value becomes R, G and B; CMYK and YCCK: converted as Pillow does;
- palette: looked up; transparency is dropped, not blended; 16 bits a channel: the high byte;
- EXIF is ignored, rotation included, as the usual ImageNet loaders do;
- a file whose data end early, that is no image, or whose format is none of FORMATS: DataError;
- more than MAX_PIXELS, by its header, or once it is resized: DataError before anything is decoded.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from dsets import extension
from dsets.codecs.geometry import Resize
from dsets.codecs.profile import Profile
from dsets.codecs.sampling import asked, resampled, sampled
from dsets.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image, ImageFile

#: Formats that are tried, by Pillow's names. Exotic decoders are where the security holes are.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
#: Pixels of the largest image that is decoded: 400 MB at four bytes each.
MAX_PIXELS = 100_000_000
#: The longest side that libjpeg encodes.
_JPEG_SIDE = 65_500
_PNG_DEPTH = 24  # where a PNG says how many bits a sample has
_COPIED = 1 << 24  # pixels, of which there may be two more copies in memory
#: As ``warnings.filters`` has it.
_PILLOW = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

#: (width, height) of an image → how it is resized and cropped.
Geometry = Callable[[int, int], Resize]


def resized(
    data: bytes, geometry: Geometry, profile: Profile, *, native: bool = True
) -> NDArray[np.uint8]:
    """Decode, resize and crop: uint8 (crop_height, crop_width, 3), RGB.

    ``native=False`` takes the portable path, which gives the same bits; so does Pillow's decoder
    with the extension's resize, where the extension was built without its JPEG half.

    Raises:
        DataError: the bytes are no complete image, or too large a one.
    """
    _check_complete(data)
    native = native and extension.native is not None
    jpeg = native and extension.jpeg and _is_jpeg(data)
    pixels = _by_extension(data, geometry, profile) if jpeg else None
    return _by_pillow(data, geometry, profile, native) if pixels is None else pixels


def decode(data: bytes) -> NDArray[np.uint8]:
    """The whole image at its own size: uint8 (height, width, 3), RGB. Raises DataError."""
    import numpy as np

    _check_complete(data)
    return np.asarray(_loaded(_opened(data)))


def decode_indices(data: bytes) -> NDArray[np.uint8]:
    """The indices of an 8-bit PNG, as stored: uint8 (height, width). Its palette is passed over.

    Raises:
        DataError: it is no whole PNG, or has colours in place of indices.
    """
    import numpy as np

    image = _opened(data)
    # Greys of fewer bits would be spread over the byte.
    eight = image.mode == "L" and data[_PNG_DEPTH : _PNG_DEPTH + 1] == b"\x08"
    if image.format != "PNG" or not (image.mode == "P" or eight):
        raise DataError(
            "not a map of indices",
            expected="a PNG with a palette, or in greys of 8 bits",
            got=f"{image.format}, {image.mode}",
        )
    try:
        image.load()
    except Exception as error:
        raise _unreadable(error) from error
    return np.array(image, np.uint8)


def size_of(data: bytes) -> tuple[int, int]:
    """Height and width of the image, by its header. Raises DataError."""
    image = _opened(data)
    return image.height, image.width


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """uint8 (height, width, 3) → baseline JPEG, 4:2:0, quality 1 to 100, standard tables.

    Raises:
        DataError: a side is longer than a JPEG's can be.
    """
    from PIL import Image

    if max(pixels.shape[:2]) > _JPEG_SIDE:
        raise DataError("image too long for JPEG", expected=f"at most {_JPEG_SIDE} pixels a side")
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=quality, subsampling="4:2:0")
    return target.getvalue()


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """uint8 (height, width, 3 or 1) → PNG, without loss."""
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(target, "PNG")
    return target.getvalue()


def _by_extension(data: bytes, geometry: Geometry, profile: Profile) -> NDArray[np.uint8] | None:
    """The C path, or None for what only Pillow reads (CMYK, unusual chroma sampling), what each
    generation of libjpeg shows otherwise (a progressive image that lacks scans) or what is broken:
    the portable path then says how, so that both give a sample the same fate."""
    try:
        width, height, _, plain = extension.native.jpeg_header(data)
    except (EOFError, ValueError):
        return None
    _check_size(width, height)
    if not plain:
        return None
    size = _checked(geometry(width, height))
    scale = profile.denominator(width, height, min(size.width, size.height))
    target, crop = asked(size, profile.filter)
    try:
        extension.native.jpeg_crop(data, scale, *crop)
    except (EOFError, ValueError):
        return None
    return target


def _by_pillow(
    data: bytes, geometry: Geometry, profile: Profile, native: bool
) -> NDArray[np.uint8]:
    import numpy as np

    image = _opened(data)
    width, height = image.size
    size = _checked(geometry(width, height))
    if image.format == "JPEG":
        scale = profile.denominator(width, height, min(size.width, size.height))
        if scale > 1:
            image.draft(None, (width // scale, height // scale))
    decoded = _loaded(image)
    if native and width * height <= _COPIED:
        return resampled(decoded, size, profile.filter)
    return np.asarray(sampled(decoded, size, profile.filter))


def _opened(data: bytes) -> ImageFile.ImageFile:
    from PIL import Image

    _hush()
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:
        raise _unreadable(error) from error
    _check_size(*image.size)
    if image.format == "JPEG":
        # Pillow hands on 64 KiB at a time: they would be copied once more, and the decoder of
        # arithmetic codes cannot wait for the rest.
        image.decodermaxblock = len(data)
    return image


def _loaded(image: Image.Image) -> Image.Image:
    _hush()
    try:
        if image.mode.startswith("I;16") or image.mode == "I":
            import numpy as np
            from PIL import Image as module

            return module.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")  # which would copy
    except Exception as error:
        raise _unreadable(error) from error


def _hush() -> None:
    """Let nobody hear Pillow's warnings: of broken EXIF, and of sizes that we check ourselves.

    ``warnings.catch_warnings`` is not for threads: it changes what all of them hear, so that
    others' warnings are lost, and for ever when two leave it in another order than they came.
    """
    if warnings.filters[:1] != [_PILLOW]:
        warnings.filterwarnings("ignore", module=_PILLOW[3].pattern)


def _unreadable(error: Exception) -> DataError:
    """What decoders' own errors (OSError, SyntaxError, struct.error, …) come to.

    The message becomes a reason in a pack's quarantine, whose digest must not depend on the version
    of a library or an address in memory, so nothing of the error's own text is in it.
    """
    from PIL import Image

    if isinstance(error, Image.DecompressionBombError):
        return _too_large()
    return DataError("not a readable image", expected=f"one of {', '.join(FORMATS)}, whole")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large()


def _checked(size: Resize) -> Resize:
    """A picture of one row is small until its shorter side is resized to some hundred."""
    if size.width * size.height > MAX_PIXELS:
        raise DataError(
            "image too large once it is resized", expected=f"at most {MAX_PIXELS} pixels"
        )
    return size


def _too_large() -> DataError:
    return DataError("image too large", expected=f"at most {MAX_PIXELS} pixels")


def _is_jpeg(data: bytes) -> bool:
    return data[:3] == b"\xff\xd8\xff"


def _check_complete(data: bytes) -> None:
    """A JPEG without an end marker after its last scan was cut off, even where the part that we
    need is there. (Inside a scan the coder never leaves the two bytes of a marker.)"""
    end = data.rfind(b"\xff\xd9")  # near the end, unless something is wrong
    if _is_jpeg(data) and data.find(b"\xff\xda", max(end, 0)) >= 0:
        raise DataError("truncated image", expected="a JPEG end marker", got=f"{len(data)} bytes")
