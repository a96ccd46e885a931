"""A box of an encoded image is the box of the decoded one, however little of it is decoded."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsets import codecs, extension
from dsets.codecs import Box
from dsets.errors import DataError
from tests.codecs import jpegs

REAL = Path(__file__).parents[3] / "shared/data/imagenet/ILSVRC2012_img_val.tar"
SHOWN, TRUNCATED, BROKEN, OTHER, LARGE, OUTSIDE = range(6)

native = pytest.mark.skipif(not extension.jpeg, reason="the extension's JPEG half is not built")


def in_c(
    data: bytes, box: Box, size: tuple[int, int], mirrored: bool = False, most: int = 10**8
) -> tuple[int, np.ndarray]:
    """Status and pixels of the native call for one image, its bytes at the end of their memory."""
    rows = extension.native.strings(
        [np.frombuffer(data, np.uint8)], [np.array([0, len(data)], np.uint64)]
    )
    out, status = np.full((1, *size, 3), 77, np.uint8), np.full(1, 99, np.uint8)
    corner = np.array([[box.top, box.left, box.height, box.width]], np.int64)
    extension.native.jpeg_rows(
        rows,
        np.zeros(1, np.int64),
        corner,
        np.array([mirrored]),
        out,
        size,
        (0, None, None, False),
        most,
        status,
    )
    return int(status[0]), out[0]


def size_in_c(data: bytes) -> tuple[int, ...]:
    rows = extension.native.strings(
        [np.frombuffer(data, np.uint8)], [np.array([0, len(data)], np.uint64)]
    )
    sizes = np.full((1, 2), 99, np.int64)
    extension.native.jpeg_sizes(rows, np.zeros(1, np.int64), sizes)
    return tuple(sizes[0].tolist())


@st.composite
def asked(draw: st.DrawFn) -> tuple[bytes, Box, tuple[int, int]]:
    """A JPEG, a box of it, and the size it is to have; boxes that keep theirs may lie outside."""
    height, width = draw(st.integers(1, 130)), draw(st.integers(1, 130))
    kind = draw(st.sampled_from(sorted(jpegs.KINDS)))
    data = jpegs.jpeg(height, width, kind, draw(st.integers(0, 3)), draw(st.integers(20, 98)))
    if draw(st.booleans()):
        tall, wide = draw(st.integers(1, height)), draw(st.integers(1, width))
        top, left = draw(st.integers(0, height - tall)), draw(st.integers(0, width - wide))
        return (
            data,
            Box(top, left, tall, wide),
            (draw(st.integers(1, 99)), draw(st.integers(1, 99))),
        )
    tall, wide = draw(st.integers(1, height + 20)), draw(st.integers(1, width + 20))
    top, left = draw(st.integers(-tall - 2, height + 2)), draw(st.integers(-wide - 2, width + 2))
    return data, Box(top, left, tall, wide), (tall, wide)


@native
@settings(deadline=None, max_examples=300)
@given(asked(), st.booleans())
def test_what_is_decoded_in_part_equals_what_is_decoded_whole(
    asked: tuple[bytes, Box, tuple[int, int]], mirrored: bool
) -> None:
    data, box, size = asked
    expected = codecs.window(data, box, size)
    status, got = in_c(data, box, size, mirrored)
    assert status == SHOWN
    np.testing.assert_array_equal(got[:, ::-1] if mirrored else got, expected)


@native
def test_real_photographs_too() -> None:
    if not REAL.exists():
        pytest.skip(f"no photographs at {REAL}")
    random = np.random.default_rng(0)
    with tarfile.open(REAL) as archive:
        files = [archive.extractfile(member) for member in archive][:12]
        pictures = [file.read() for file in files if file]
    assert pictures
    for data in pictures:
        height, width = codecs.size_of(data)
        for _ in range(4):
            tall, wide = (int(random.integers(1, side + 1)) for side in (height, width))
            top = int(random.integers(0, height - tall + 1))
            box = Box(top, int(random.integers(0, width - wide + 1)), tall, wide)
            status, got = in_c(data, box, (64, 48))
            assert status == SHOWN
            np.testing.assert_array_equal(got, codecs.window(data, box, (64, 48)))


def test_a_window_is_what_pillow_crops_and_resizes() -> None:
    data = jpegs.jpeg(120, 90, "422")
    whole = Image.fromarray(codecs.decode(data))
    expected = whole.crop((7, 20, 80, 110)).resize((50, 40), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(
        codecs.window(data, Box(20, 7, 90, 73), (40, 50)), np.asarray(expected)
    )


def test_a_window_that_is_not_resized_is_zero_outside() -> None:
    data = jpegs.jpeg(20, 30)
    shown = codecs.window(data, Box(-5, -6, 20, 30), (20, 30))
    assert not shown[:5].any() and not shown[:, :6].any()
    np.testing.assert_array_equal(shown[5:, 6:], codecs.decode(data)[:15, :24])
    assert not codecs.window(data, Box(100, 0, 20, 30), (20, 30)).any()


@pytest.mark.parametrize("box", [Box(-1, 0, 10, 10), Box(0, 25, 10, 6), Box(90, 90, 5, 5)])
def test_a_resized_box_lies_within_the_image(box: Box) -> None:
    data = jpegs.jpeg(20, 30)
    with pytest.raises(DataError, match="outside"):
        codecs.window(data, box, (40, 40))
    if extension.jpeg:
        assert in_c(data, box, (40, 40))[0] == OUTSIDE


def test_sizes_are_read_from_headers() -> None:
    png = io.BytesIO()
    Image.fromarray(jpegs.pixels(9, 7)).save(png, "PNG")
    assert codecs.size_of(png.getvalue()) == (9, 7)
    assert codecs.size_of(jpegs.jpeg(11, 13)) == (11, 13)
    with pytest.raises(DataError):
        codecs.size_of(b"no image")


@native
@pytest.mark.parametrize("kind", sorted(jpegs.KINDS))
def test_the_extension_reads_the_same_sizes(kind: str) -> None:
    assert size_in_c(jpegs.jpeg(11, 13, kind)) == (11, 13)


@native
def test_what_is_not_for_the_extension_is_left_to_pillow() -> None:
    other = io.BytesIO()
    Image.fromarray(jpegs.pixels(16, 16)).convert("CMYK").save(other, "JPEG")
    png = io.BytesIO()
    Image.fromarray(jpegs.pixels(16, 16)).save(png, "PNG")
    whole = jpegs.jpeg(16, 16, "progressive")
    lacking = whole[: whole.rindex(b"\xff\xc4")] + b"\xff\xd9"  # the last scan
    junk = whole[:20] + b"\x37" + whole[20:]  # within the header
    for data in (other.getvalue(), png.getvalue(), lacking, junk, b"", b"\xff", b"text"):
        assert in_c(data, Box(0, 0, 8, 8), (8, 8))[0] == OTHER


@native
def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    assert in_c(jpegs.jpeg(20, 20), Box(0, 0, 8, 8), (8, 8), most=399)[0] == LARGE
    assert in_c(jpegs.jpeg(20, 20), Box(0, 0, 8, 8), (8, 8), most=400)[0] == SHOWN


@native
def test_data_that_end_early_are_noticed_though_the_box_is_there() -> None:
    data = jpegs.jpeg(200, 200)
    assert in_c(data[: len(data) * 3 // 4], Box(0, 0, 8, 8), (8, 8))[0] == TRUNCATED
    assert in_c(data[:-2], Box(0, 0, 8, 8), (8, 8))[0] == TRUNCATED


@native
@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(sorted(jpegs.KINDS)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=12),
    st.integers(0, 10**6),
)
def test_damaged_bytes_do_no_harm(kind: str, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(jpegs.jpeg(60, 70, kind))
    for place, value in changes:
        data[place % len(data)] = value
    hostile = bytes(data[: len(data) - cut % (len(data) if cut % 2 else 1)])
    size_in_c(hostile)
    for size in ((20, 30), (33, 7)):
        status, _ = in_c(hostile, Box(30, 21, 20, 30), size, most=10**6)
        assert status <= OUTSIDE


@native
def test_a_row_does_not_depend_on_the_one_before() -> None:
    """Tables of one image must not serve another that comes without any."""
    good = jpegs.jpeg(32, 32)
    bare = bytearray(good)
    while (at := bytes(bare).find(b"\xff\xc4")) >= 0:  # every Huffman table away
        del bare[at : at + 2 + int.from_bytes(bare[at + 2 : at + 4], "big")]
    assert len(bare) < len(good)
    rows = extension.native.strings(
        [np.frombuffer(good + bytes(bare), np.uint8)],
        [np.array([0, len(good), len(good) + len(bare)], np.uint64)],
    )
    alone = np.zeros(1, np.uint8)
    pixels = np.zeros((2, 2, 8, 8, 3), np.uint8)
    box = np.array([[0, 0, 8, 8]], np.int64)
    finish = (0, None, None, False)
    call = extension.native.jpeg_rows
    index = np.array([1], np.int64)
    call(rows, index, box, None, pixels[0, 1:], (8, 8), finish, 10**8, alone)
    both = np.zeros(2, np.uint8)
    index = np.array([0, 1], np.int64)
    call(rows, index, np.repeat(box, 2, 0), None, pixels[1], (8, 8), finish, 10**8, both)
    assert both.tolist() == [SHOWN, int(alone[0])]
    if not alone[0]:
        np.testing.assert_array_equal(pixels[0, 1], pixels[1, 1])


@native
def test_arguments_that_do_not_fit_are_refused() -> None:
    native = extension.native
    data = np.frombuffer(jpegs.jpeg(16, 16), np.uint8)
    with pytest.raises(ValueError, match="bounds"):
        native.strings([data], [])
    with pytest.raises(ValueError, match="bounds"):
        native.strings([data], [np.zeros(3, np.uint8)])
    rows = native.strings([data], [np.array([0, len(data), len(data) + 1, 5], np.uint64)])
    index, box = np.zeros(1, np.int64), np.array([[0, 0, 8, 8]], np.int64)
    out, status = np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, np.uint8)
    plain = (0, None, None, False)
    good = [rows, index, box, None, out, (8, 8), plain, 10**8, status]
    native.jpeg_rows(*good)
    for place, wrong in (
        (0, object()),
        (2, box[:, :3].copy()),
        (2, np.array([[0, 0, 0, 8]], np.int64)),
        (2, np.array([[0, 0, 8, 1 << 40]], np.int64)),
        (3, np.zeros(2, np.bool_)),
        (4, out[:, :7].copy()),
        (5, (0, 8)),
        (6, (1, None, None, False)),
        (6, (7, None, None, False)),
        (8, np.zeros(2, np.uint8)),
    ):
        with pytest.raises(ValueError, match="fit"):
            native.jpeg_rows(*good[:place], wrong, *good[place + 1 :])
    for number in (1, 2, 3, -1, 1 << 60):  # bounds that lead outside, that fall; no such row
        native.jpeg_rows(rows, np.array([number]), *good[2:])
        assert status[0] == OTHER
