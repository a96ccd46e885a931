"""Images in and out: decode, resize, crop, encode, each under a named profile."""

from dsets.codecs import rle
from dsets.codecs.geometry import Resize, centre_crop, shorter_side
from dsets.codecs.image import (
    MAX_PIXELS,
    decode,
    decode_indices,
    encode_jpeg,
    encode_png,
    resized,
    size_of,
)
from dsets.codecs.magic import format_of
from dsets.codecs.profile import PROFILES, Profile, environment, profile
from dsets.codecs.window import Box, window

__all__ = [
    "MAX_PIXELS",
    "PROFILES",
    "Box",
    "Profile",
    "Resize",
    "centre_crop",
    "decode",
    "decode_indices",
    "encode_jpeg",
    "encode_png",
    "environment",
    "format_of",
    "profile",
    "resized",
    "rle",
    "shorter_side",
    "size_of",
    "window",
]
