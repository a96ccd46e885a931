"""Golden images: the pixels of every profile, pinned; on either path, wherever the tests run.

A pin that fails means that packs made before and after would differ: a new profile, not a new pin.
Print the pins with ``python tests/codecs/test_golden.py``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from dsets import codecs, extension

FOLDER = Path(__file__).parent / "golden"
PINS = json.loads((FOLDER / "pins.json").read_text())
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix != ".json")
SIDE = 64
#: The golden images are small, and the decoder halves what is four times as large as asked for.
SIDES = {"fast": 32}
needs_extension = pytest.mark.skipif(not extension.jpeg, reason="built without the JPEG extension")
PATHS = [pytest.param(True, marks=needs_extension, id="native"), pytest.param(False, id="pillow")]


def digest(pixels: np.ndarray) -> str:
    """Of the shape and the values."""
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def crop(data: bytes, name: str, native: bool) -> np.ndarray:
    def size(width: int, height: int) -> codecs.Resize:
        return codecs.centre_crop(width, height, SIDES.get(name, SIDE))

    return codecs.resized(data, size, codecs.profile(name), native=native)


def pins(data: bytes) -> dict[str, str]:
    whole = codecs.decode(data)
    found = {"decode": digest(whole)}
    for name in codecs.PROFILES:
        found[name] = digest(crop(data, name, native=False))
    return found | {"encode": hashlib.sha256(codecs.encode_jpeg(whole, 90)).hexdigest()}


def test_every_golden_image_is_pinned_for_every_profile() -> None:
    assert sorted(PINS) == FILES
    assert all(set(PINS[name]) == {"decode", "encode", *codecs.PROFILES} for name in FILES)
    assert sum((FOLDER / name).stat().st_size for name in FILES) < 40_000


@pytest.mark.parametrize("native", PATHS)
@pytest.mark.parametrize("profile", codecs.PROFILES)
@pytest.mark.parametrize("name", FILES)
def test_a_profile_gives_the_pixels_it_always_gave(name: str, profile: str, native: bool) -> None:
    found = crop((FOLDER / name).read_bytes(), profile, native)
    assert found.shape == (SIDES.get(profile, SIDE),) * 2 + (3,)
    assert digest(found) == PINS[name][profile]


@pytest.mark.parametrize("name", FILES)
def test_decoding_gives_the_pixels_it_always_gave(name: str) -> None:
    assert digest(codecs.decode((FOLDER / name).read_bytes())) == PINS[name]["decode"]


@pytest.mark.parametrize("name", FILES)
def test_encoding_gives_the_bytes_it_always_gave_in_this_environment(name: str) -> None:
    if codecs.environment(encoder=True)["jpeg_encoder"] != "libjpeg-turbo islow":
        pytest.skip("Pillow was built with another JPEG library")
    again = codecs.encode_jpeg(codecs.decode((FOLDER / name).read_bytes()), 90)
    assert hashlib.sha256(again).hexdigest() == PINS[name]["encode"]


if __name__ == "__main__":
    print(json.dumps({name: pins((FOLDER / name).read_bytes()) for name in FILES}, indent=1))
