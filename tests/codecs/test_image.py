"""Decoding, resizing and cropping: equal bits on both paths, stated behaviour for odd images."""

from __future__ import annotations

import base64
import io
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from dsets import codecs, extension
from dsets.errors import DataError, UsageError

needs_extension = pytest.mark.skipif(not extension.jpeg, reason="built without the JPEG extension")
PATHS = [pytest.param(True, marks=needs_extension, id="native"), pytest.param(False, id="pillow")]


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth gradients with edges and some noise: as hard for a codec as a photograph."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 100 * np.sin(x / 17 + k) * np.cos(y / (11 + k)) for k in range(3)]
    pixels = np.stack(planes, -1) + rng.normal(0, 12, (height, width, 3))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (250, 20, 90)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, "JPEG", **options)
    return target.getvalue()


def square(side: int) -> codecs.image.Geometry:
    return lambda width, height: codecs.centre_crop(width, height, side)


def by_pillow_alone(data: bytes, side: int, kind: Image.Resampling) -> np.ndarray:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    size = codecs.centre_crop(*image.size, side)
    box = (size.left, size.top, size.left + side, size.top + side)
    return np.asarray(image.resize((size.width, size.height), kind).crop(box))


@pytest.mark.parametrize("native", PATHS)
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (97, 64), (64, 161), (300, 300)])
def test_exact_profile_is_pillow_bit_for_bit(native, sampling, size) -> None:
    data = jpeg(photograph(*size), quality=88, subsampling=sampling)
    ours = codecs.resized(data, square(64), codecs.profile("exact"), native=native)
    assert np.array_equal(ours, by_pillow_alone(data, 64, Image.Resampling.BILINEAR))


@needs_extension
@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(16, 420),
    height=st.integers(16, 420),
    side=st.integers(8, 96),
    options=st.fixed_dictionaries(
        {
            "quality": st.integers(20, 98),
            "subsampling": st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
            "progressive": st.booleans(),
        }
    ),
    name=st.sampled_from(list(codecs.PROFILES)),
    grey=st.booleans(),
)
def test_both_paths_give_the_same_bits(width, height, side, options, name, grey) -> None:
    image = photograph(width, height)
    data = jpeg(image.convert("L") if grey else image, **options)
    profile = codecs.profile(name)
    native = codecs.resized(data, square(side), profile, native=True)
    portable = codecs.resized(data, square(side), profile, native=False)
    assert np.array_equal(native, portable)


@pytest.mark.skipif(extension.native is None, reason="built without the extension")
@pytest.mark.parametrize("name", list(codecs.PROFILES))
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P"])
@pytest.mark.parametrize("size", [(500, 375), (60, 407), (64, 64), (33, 40), (700, 10)])
def test_an_extension_without_libjpeg_resizes_what_pillow_decoded(
    monkeypatch, name, mode, size
) -> None:
    image = photograph(*size).convert(mode)
    target = io.BytesIO()
    image.save(target, "PNG" if mode == "P" else "JPEG")
    profile, asked = codecs.profile(name), []
    real = extension.native.resize
    monkeypatch.setattr(extension, "jpeg", False)
    monkeypatch.setattr(extension.native, "resize", lambda *of: asked.append(of) or real(*of))
    ours = codecs.resized(target.getvalue(), square(48), profile)
    assert len(asked) == 1
    assert np.array_equal(
        ours, codecs.resized(target.getvalue(), square(48), profile, native=False)
    )


@needs_extension
@settings(max_examples=80, deadline=None)
@given(*[st.integers(1, 120)] * 4, st.sampled_from([0, 1]))
def test_resize_equals_pillow_for_any_sizes(width, height, wide, high, kind) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 4), dtype=np.uint8)
    target = np.empty((high, wide, 3), np.uint8)
    extension.native.resize(pixels, width, height, wide, high, 0, 0, target, wide, high, kind)
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))
    # Pillow's choice of the first pass is part of the contract; older versions never choose.
    first = (
        (width, high) if height > high and height - high > 2 * (width - wide) else (wide, height)
    )
    resampling = [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC][kind]
    expected = image.resize(first, resampling).resize((wide, high), resampling)
    assert np.array_equal(target, np.asarray(expected))


@pytest.mark.parametrize("native", PATHS)
def test_fast_profile_scales_in_the_decoder_and_stays_close(native) -> None:
    data = jpeg(photograph(800, 600), quality=95, subsampling="4:4:4")
    fast = codecs.resized(data, square(64), codecs.profile("fast"), native=native)
    exact = codecs.resized(data, square(64), codecs.profile("exact"), native=native)
    error = np.mean((fast.astype(float) - exact) ** 2)
    assert 0 < error < 255**2 / 10**3.4  # 34 dB on an image made of edges and noise


@pytest.mark.parametrize("native", PATHS)
@pytest.mark.parametrize(("side", "scaled"), [(150, True), (151, False)])
def test_what_the_decoder_leaves_is_twice_what_is_asked_for(native, side, scaled) -> None:
    data = jpeg(photograph(800, 600), quality=95)
    fast, exact = (
        codecs.resized(data, square(side), codecs.profile(name), native=native)
        for name in ("fast", "exact")
    )
    assert np.array_equal(fast, exact) is not scaled


@pytest.mark.parametrize("native", PATHS)
@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_become_rgb_as_pillow_says(native, mode) -> None:
    data = jpeg(photograph(90, 70).convert(mode), quality=90)
    ours = codecs.resized(data, square(32), codecs.profile("exact"), native=native)
    assert np.array_equal(ours, by_pillow_alone(data, 32, Image.Resampling.BILINEAR))


@pytest.mark.parametrize("native", PATHS)
def test_png_in_disguise_palette_and_transparency_are_read_without_blending(native) -> None:
    image = photograph(80, 60)
    palette, alpha = io.BytesIO(), io.BytesIO()
    image.convert("P").save(palette, "PNG")
    see_through = image.copy()
    see_through.putalpha(0)
    see_through.save(alpha, "PNG")
    exact = codecs.profile("exact")
    assert codecs.resized(palette.getvalue(), square(16), exact, native=native).shape == (16, 16, 3)
    ours = codecs.resized(alpha.getvalue(), square(60), exact, native=native)
    assert np.array_equal(ours, np.asarray(image.crop((10, 0, 70, 60))))


def test_sixteen_bits_become_their_high_byte() -> None:
    deep = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    target = io.BytesIO()
    Image.fromarray(deep).save(target, "PNG")
    ours = codecs.decode(target.getvalue())
    assert np.array_equal(ours, np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2))


@pytest.mark.parametrize("native", PATHS)
def test_exif_rotation_is_ignored_and_broken_exif_harmless(native) -> None:
    image = photograph(90, 60)
    exif = Image.Exif()
    exif[0x0112] = 6
    plain, turned = jpeg(image, quality=90), jpeg(image, quality=90, exif=exif)
    broken = turned.replace(b"Exif\x00\x00II", b"Exif\x00\x00XX").replace(
        b"Exif\x00\x00MM", b"Exif\x00\x00XX"
    )
    exact = codecs.profile("exact")
    expected = codecs.resized(plain, square(32), exact, native=native)
    for data in (turned, broken):
        assert np.array_equal(codecs.resized(data, square(32), exact, native=native), expected)


@pytest.mark.parametrize("native", PATHS)
@pytest.mark.parametrize("keep", [0.02, 0.3, 0.7, 0.98])
def test_a_truncated_image_is_an_error_wherever_it_ends(native, keep) -> None:
    data = jpeg(photograph(100, 300), quality=90)
    with pytest.raises(DataError):
        codecs.resized(
            data[: int(len(data) * keep)], square(32), codecs.profile("exact"), native=native
        )


@pytest.mark.parametrize("native", PATHS)
def test_which_truncations_are_found_and_which_have_pillows_pixels(native) -> None:
    exact = codecs.profile("exact")
    image = photograph(100, 300)
    whole = jpeg(image, quality=90)
    half = whole[: len(whole) // 2]
    files = {kind: io.BytesIO() for kind in ("PNG", "GIF", "BMP", "WEBP")}
    for kind, file in files.items():
        image.save(file, kind)
    found = [whole[:-1], half + bytes(len(half))]
    found += [file.getvalue()[:-40] for file in files.values()]
    for data in found:
        with pytest.raises(DataError):
            codecs.resized(data, square(32), exact, native=native)
    passing = [half + b"\xff\xd9", half + whole[-200:]]
    passing += [files["PNG"].getvalue()[:-16], files["GIF"].getvalue()[:-1]]
    for data in passing:
        expected = Image.open(io.BytesIO(data)).convert("RGB").resize((32, 96), Image.BILINEAR)
        pixels = codecs.resized(data, square(32), exact, native=native)
        assert np.array_equal(pixels, np.asarray(expected)[32:64])


@pytest.mark.parametrize("native", PATHS)
def test_a_decompression_bomb_is_refused_by_its_header(native) -> None:
    data = bytearray(jpeg(photograph(64, 64)))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = (60000).to_bytes(2, "big") * 2
    with pytest.raises(DataError, match="image too large"):
        codecs.resized(bytes(data), square(32), codecs.profile("exact"), native=native)


@pytest.mark.parametrize("native", PATHS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(1, 2000), (2000, 1)])
@pytest.mark.parametrize("shape", [codecs.shorter_side, codecs.centre_crop])
def test_a_picture_of_one_row_is_no_bomb(native, kind, size, shape) -> None:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, kind)
    exact = codecs.profile("exact")
    with pytest.raises(DataError, match="image too large once it is resized"):
        codecs.resized(file.getvalue(), lambda w, h: shape(w, h, 256), exact, native=native)
    small = codecs.resized(file.getvalue(), lambda w, h: shape(w, h, 4), exact, native=native)
    assert min(small.shape[:2]) == 4


def test_what_is_too_long_for_jpeg_is_a_data_error() -> None:
    assert codecs.encode_jpeg(np.zeros((65_500, 1, 3), np.uint8), 90)
    for shape in ((65_501, 1, 3), (1, 65_501, 3)):
        with pytest.raises(DataError, match="too long for JPEG"):
            codecs.encode_jpeg(np.zeros(shape, np.uint8), 90)


def _without_last_scans(data: bytes, kept: int) -> bytes:
    """A progressive JPEG of its first ``kept`` scans, with an end marker."""
    at = 0
    for _ in range(kept + 1):
        at = data.index(b"\xff\xda", at) + 2
    tables = data.rfind(b"\xff\xc4", 0, at)  # those of the first scan that goes
    return data[:tables] + b"\xff\xd9"


@needs_extension
@pytest.mark.parametrize("kept", [1, 2, 5])
@pytest.mark.parametrize("name", list(codecs.PROFILES))
def test_a_progressive_image_that_lacks_scans_is_left_to_pillow(kept, name) -> None:
    data = _without_last_scans(jpeg(photograph(330, 280), progressive=True, quality=85), kept)
    profile = codecs.profile(name)
    with pytest.raises(ValueError, match="scans are missing"):
        extension.native.jpeg_crop(
            data, 1, 64, 64, 0, 0, np.empty((64, 64, 3), np.uint8), 64, 64, 0
        )
    native = codecs.resized(data, square(64), profile, native=True)
    assert np.array_equal(native, codecs.resized(data, square(64), profile, native=False))


def _strange_below(data: bytes, marker: int) -> bytes:
    """The last tenth of a scan's data follows on a marker that does not belong there."""
    at = len(data) - len(data) // 10
    return data[:at] + bytes([0xFF, marker, 0, 5, 1, 2, 3]) + data[at:]


@needs_extension
@pytest.mark.parametrize("marker", [0xC4, 0xDA, 0xDB, 0xDC, 0xDD, 0x02, 0xFE, 0xD9, 0xD3])
def test_what_is_broken_below_the_crop_has_one_fate_on_both_paths(marker) -> None:
    data = _strange_below(jpeg(photograph(120, 400), quality=85), marker)
    fates = []
    for native in (True, False):
        try:
            pixels = codecs.resized(data, square(64), codecs.profile("exact"), native=native)
            fates.append(pixels.tobytes())
        except DataError as error:
            fates.append(str(error))
    assert fates[0] == fates[1]


@needs_extension
def test_bytes_between_the_markers_of_a_header_have_one_fate_on_both_paths() -> None:
    good = jpeg(photograph(64, 64), quality=85)
    fates = set()
    for native in (True, False):
        for between in (b"\x00", b"\x37", b"\xff\xff", b"\x12\x00\x34"):
            data = good[:20] + between + good[20:]
            try:
                codecs.resized(data, square(32), codecs.profile("exact"), native=native)
                fates.add((between, ""))
            except DataError as error:
                fates.add((between, str(error)))
    assert len(fates) == 4


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_have_one_fate_on_both_paths(data) -> None:
    good = bytearray(jpeg(photograph(48, 40), quality=80))
    for _ in range(data.draw(st.integers(1, 8))):
        good[data.draw(st.integers(2, len(good) - 1))] = data.draw(st.integers(0, 255))
    fates = set()
    for native in (extension.jpeg, False):
        try:
            pixels = codecs.resized(bytes(good), square(16), codecs.profile("fast"), native=native)
            assert pixels.shape == (16, 16, 3)
            fates.add("read")
        except DataError as error:
            fates.add(str(error))
    assert len(fates) == 1


def test_reasons_have_nothing_of_this_process_or_of_a_library() -> None:
    bomb = bytearray(jpeg(photograph(64, 64)))
    frame = bomb.index(b"\xff\xc0")
    bomb[frame + 5 : frame + 9] = (65000).to_bytes(2, "big") * 2
    for data in (b"", b"<html>", bytes(bomb), jpeg(photograph(64, 64))[:-400]):
        reasons = set()
        for native in (extension.jpeg, False, False):
            with pytest.raises(DataError) as caught:
                codecs.resized(data, square(16), codecs.profile("exact"), native=native)
            reasons.add(str(caught.value))
        assert len(reasons) == 1
        assert "0x" not in reasons.pop()


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"<html>", b"\xff\xd8\xff\xda\xff\xd9", bytes(99)]
)
def test_what_is_no_image_is_a_data_error(data) -> None:
    with pytest.raises(DataError):
        codecs.resized(data, square(16), codecs.profile("exact"))


def test_unknown_profiles_are_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="exact, fast"):
        codecs.profile("quick")


def test_jpeg_round_trip_keeps_the_picture() -> None:
    pixels = np.asarray(photograph(96, 64))
    again = codecs.decode(codecs.encode_jpeg(pixels, 95))
    grey = again.mean(2) - pixels.mean(2)  # colour is stored at half the resolution
    assert np.mean(grey**2) < 20


def test_others_hear_their_warnings_while_an_image_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As of another thread, which hears what this one has not silenced for all."""
    real = Image.open

    def open_and_warn(*arguments: Any, **options: Any) -> Any:
        warnings.warn("of somebody else", stacklevel=1)
        return real(*arguments, **options)

    monkeypatch.setattr(Image, "open", open_and_warn)
    data = io.BytesIO()
    Image.new("P", (3, 2)).save(data, "PNG", transparency=bytes(4))  # Pillow would warn of it
    for rule in ("always", "error"):
        with warnings.catch_warnings():
            warnings.simplefilter(rule)  # type: ignore[arg-type]
            warnings.filterwarnings("default", "of somebody else")
            with warnings.catch_warnings(record=True) as heard:
                assert codecs.decode(data.getvalue()).shape == (2, 3, 3)
                assert codecs.decode(data.getvalue()).shape == (2, 3, 3)
        assert {str(one.message) for one in heard} == {"of somebody else"}


#: Grey, 32 x 24, arithmetic-coded, which Pillow does not write.
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4n"
    "ICIsIxwcKDcpLDAxNDQ0Hyc5PTgyPC4zNDL/yQALCAAYACABAREA/8wABgAQEAX/2gAIAQEAAD8A/wC3iBCJ"
    "2TL0G/0TQxiCL9z9nIm2KXYYuGRBwKpnm78wJ7woRLjl1SMMx0y4rMPZHO3bHrxkV7MlQIEfBOyX9v/Z"
)


@pytest.mark.parametrize("native", PATHS)
def test_an_arithmetic_coded_jpeg_may_be_longer_than_pillows_buffer(native, monkeypatch) -> None:
    try:
        pixels = by_pillow_alone(ARITHMETIC, 24, Image.Resampling.BILINEAR)
    except OSError:
        pytest.skip("this Pillow's libjpeg has no arithmetic decoder")
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 128)
    ours = codecs.resized(ARITHMETIC, square(24), codecs.profile("exact"), native=native)
    assert np.array_equal(ours, pixels)
