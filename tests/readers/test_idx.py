"""The reader of MNIST's format: what it gives, and what it refuses with one clear error."""

from __future__ import annotations

import gzip
import pickle
import struct
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dsets import readers
from dsets.archive.stream import Stream
from dsets.errors import DataError, ManifestError, UsageError
from dsets.field import Field
from dsets.readers import _idx_file, idx
from dsets.readers._cache import DECODED
from tests.readers import raw

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def read(path: Path, limit: int = 1 << 20) -> np.ndarray[Any, Any]:
    with Stream(path, limit) as stream:
        return _idx_file.values(stream, _idx_file.header(stream))


@FRESH
@given(
    array=st.sampled_from(["u1", "i1", "<i2", "<i4", "<f4", "<f8"]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=6, min_side=0, max_side=5))
    ),
    packed=st.booleans(),
)
def test_an_array_of_any_type_and_rank_comes_back_as_it_was(
    tmp_path: Path, array: np.ndarray[Any, Any], packed: bool
) -> None:
    content = raw.idx(array)
    (tmp_path / "a").write_bytes(gzip.compress(content) if packed else content)
    found = read(tmp_path / "a")
    assert found.dtype == array.dtype and found.dtype.byteorder != ">"
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert not found.flags.writeable


@pytest.mark.parametrize("rank", [1, 32, 255])
def test_every_rank_is_read_or_refused_with_a_data_error(tmp_path: Path, rank: int) -> None:
    content = struct.pack(f">HBB{rank}i", 0, 8, rank, *[1] * rank) + b"\7"
    (tmp_path / "a").write_bytes(content)
    if rank <= 32:
        assert read(tmp_path / "a").shape == (1,) * rank
    else:
        with pytest.raises(DataError, match="rank 255"):
            read(tmp_path / "a")


@FRESH
@given(data=st.binary(max_size=200), packed=st.booleans(), headed=st.booleans())
def test_arbitrary_bytes_raise_nothing_but_data_error(
    tmp_path: Path, data: bytes, packed: bool, headed: bool
) -> None:
    content = (b"\0\0\x08\1" if headed else b"") + data
    (tmp_path / "a").write_bytes(gzip.compress(content) if packed else content)
    try:
        assert read(tmp_path / "a").dtype == np.uint8 or not headed
    except DataError as error:
        assert str(tmp_path / "a") in str(error)


@FRESH
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_gzip_never_gives_other_samples(
    tmp_path: Path, at: int, flip: int, cut: bool
) -> None:
    sound = [sample.values["image"] for sample in idx.samples(raw.digits(tmp_path), range(7))]
    file = tmp_path / "image.gz"
    content = bytearray(file.read_bytes())
    at %= len(content)
    if cut:
        del content[at:]
    else:
        content[at] ^= flip
    file.write_bytes(content)
    DECODED.clear()
    try:
        found = [sample.values["image"] for sample in idx.samples(_again(tmp_path), range(7))]
    except DataError as error:
        assert "image.gz" in str(error)
    else:  # a byte of gzip's own header that says nothing of the content
        assert all(np.array_equal(a, b) for a, b in zip(sound, found, strict=True))


def _again(root: Path) -> Any:
    return raw.idx_source(root, {}, 7)


def test_the_table_has_keys_and_labels_and_the_samples_follow_it(tmp_path: Path) -> None:
    source = raw.digits(tmp_path)
    table = readers.load("idx").table(source)
    assert list(table.columns) == ["key", "label"]
    assert table["key"].tolist() == [f"train/{row:05d}" for row in range(7)]
    assert table["label"].dtype == np.int64
    found = list(idx.samples(source, range(7)))
    assert [sample.key for sample in found] == table["key"].tolist()
    assert [int(sample.values["label"]) for sample in found] == table["label"].tolist()
    for sample, image in zip(found, raw.images(7), strict=True):
        assert sample.values["image"].shape == (4, 5, 1)
        assert sample.values["image"].dtype == np.uint8
        assert np.array_equal(sample.values["image"][..., 0], image)
        assert sample.values["label"].dtype == np.int64 and sample.values["label"].shape == ()


@FRESH
@given(rows=st.lists(st.integers(0, 6)), as_array=st.booleans())
def test_rows_come_in_the_order_asked_for_however_often(
    tmp_path: Path, rows: list[int], as_array: bool
) -> None:
    source = raw.digits(tmp_path)
    asked: Any = np.array(rows, np.int64) if as_array else rows
    expected = raw.images(7)
    found = list(idx.samples(source, asked))
    assert [sample.key for sample in found] == [f"train/{row:05d}" for row in rows]
    for row, sample in zip(rows, found, strict=True):
        assert np.array_equal(sample.values["image"][..., 0], expected[row])


@pytest.mark.parametrize("row", [-1, 7])
def test_a_row_that_is_not_in_the_table_is_refused(tmp_path: Path, row: int) -> None:
    with pytest.raises(UsageError, match="expected 0 to 6"):
        list(idx.samples(raw.digits(tmp_path), [0, row]))


def test_keys_grow_wider_with_the_number_of_samples() -> None:
    assert readers._rows.numbered("train", 100_001)(7) == "train/000007"


def test_the_content_says_what_is_gzip_and_not_the_name(tmp_path: Path) -> None:
    plain = {"image": raw.idx(raw.images(3)), "label": raw.idx(np.zeros(3, "u1"))}
    assert len(list(idx.samples(raw.idx_source(tmp_path, plain, 3), range(3)))) == 3


def test_the_table_does_not_read_images(tmp_path: Path) -> None:
    source = raw.digits(tmp_path)
    file = source.path("image.gz")
    file.write_bytes(file.read_bytes()[:-20])  # the end of the images is gone, their header not
    assert len(idx.table(source)) == 7
    with pytest.raises(DataError, match="cut short"):
        list(idx.samples(source, [0]))


def test_labels_may_lie_in_any_type_that_their_field_holds(tmp_path: Path) -> None:
    contents = {"image": raw.idx(raw.images(3)), "label": raw.idx(np.array([2, 0, 1], "<i4"))}
    source = raw.idx_source(tmp_path, contents, 3)
    assert idx.table(source)["label"].tolist() == [2, 0, 1]


def test_samples_cross_to_another_process_and_cannot_be_changed(tmp_path: Path) -> None:
    source = pickle.loads(pickle.dumps(raw.digits(tmp_path)))
    (sample,) = idx.samples(source, [3])
    with pytest.raises(ValueError, match="read-only"):
        sample.values["image"][0] = 0


def test_a_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    source = raw.digits(tmp_path)
    assert idx.table(source)["label"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    other = tmp_path / "other"
    other.write_bytes(gzip.compress(raw.idx(np.full(7, 2, "u1"))))
    other.replace(source.path("label.gz"))
    assert idx.table(source)["label"].tolist() == [2] * 7


def test_many_threads_get_the_same_samples(tmp_path: Path) -> None:
    source = raw.digits(tmp_path, 40)
    found: dict[int, list[bytes]] = {}

    def read_all(number: int) -> None:
        found[number] = [s.values["image"].tobytes() for s in idx.samples(source, range(40))]

    threads = [threading.Thread(target=read_all, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == [i.tobytes() for i in raw.images(40)] for number in range(8))


GOOD_LABELS = raw.idx(np.zeros(7, "u1"))
GOOD_IMAGES = raw.idx(raw.images(7))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("image", b"<!DOCTYPE html><html>404", "web page saved in its place"),
        ("image", gzip.compress(b"<html>"), "web page saved in its place"),
        ("image", b"", "empty file"),
        ("image", b"\0\0", "not an IDX file.*got 00 00;"),
        ("image", b"\0\0\x0a\3" + GOOD_IMAGES[4:], "not an IDX file.*got 00 00 0a 03;"),
        ("image", b"<!DOCTYPE html>", "not an IDX file.*got 3c 21 44 4f .a web page"),
        ("image", b"\0\0\x08\0", "not an IDX file"),
        ("image", GOOD_IMAGES[:9], "cut short in the IDX header"),
        ("image", GOOD_IMAGES[:-1], "cut short in the 140 values; expected 140 bytes, got 139"),
        ("image", GOOD_IMAGES + b"\0", "more bytes than there should be"),
        ("image", gzip.compress(GOOD_IMAGES + b"\0" * 20_000_000), "more bytes than there should"),
        ("image", gzip.compress(GOOD_IMAGES)[:-9], "cut short"),
        ("image", gzip.compress(GOOD_IMAGES)[:-8] + b"\0" * 8, "incorrect data check"),
        ("image", gzip.compress(GOOD_IMAGES)[:-4] + b"\1" * 4, "incorrect length check"),
        ("image", gzip.compress(GOOD_IMAGES) + b"x", "foreign bytes after the end"),
        ("image", raw.idx(raw.images(8)), r"expected \(7, 4, 5, 1\), got \(8, 4, 5\)"),
        ("image", raw.idx(raw.images(7, (5, 4))), r"wrong shape of image"),
        ("image", raw.idx(raw.images(7).astype("i1")), "wrong type of image; expected uint8"),
        ("image", struct.pack(">HBB3i", 0, 8, 3, 7, -4, -5), "negative size"),
        ("image", struct.pack(">HBB3i", 0, 8, 3, 2**31 - 1, 2**31 - 1, 2**31 - 1), "wrong shape"),
        ("label", raw.idx(np.zeros(6, "u1")), r"expected \(7,\), got \(6,\)"),
        ("label", raw.idx(np.full(7, 3, "u1")), "label of row 0 is not a class.*expected 0 to 2"),
        ("label", raw.idx(np.full(7, -1, "i1")), "not a class"),
        ("label", raw.idx(np.full(7, np.nan, "<f8")), "wrong type of label; expected int64"),
    ],
)
def test_a_wrong_file_gets_one_error_that_names_it(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    contents = {"image": GOOD_IMAGES, "label": GOOD_LABELS} | {name: content}
    source = raw.idx_source(tmp_path, contents, 7)
    with pytest.raises(DataError, match=message) as caught:
        idx.table(source)
        list(idx.samples(source, range(7)))
    assert str(source.path(f"{name}.gz")) in str(caught.value)
    assert "the manifest is wrong" in str(caught.value)


def test_a_missing_file_is_an_error_that_says_how_to_get_it(tmp_path: Path) -> None:
    source = raw.digits(tmp_path)
    source.path("label.gz").unlink()
    with pytest.raises(DataError, match="no such file; run 'dsets fetch tiny'"):
        idx.table(source)


@pytest.mark.parametrize(
    "options",
    [
        {"image": "image.gz"},
        {"image": "image.gz", "label": "label.gz", "mask": "image.gz"},
        {"image": "image.gz", "label": "other.gz"},
        {"image": "image.gz", "label": 3},
        {"image": "../image.gz", "label": "label.gz"},
    ],
)
def test_options_that_do_not_name_a_file_for_each_field_are_refused(
    tmp_path: Path, options: dict[str, object]
) -> None:
    source = raw.digits(tmp_path)
    source = replace(source, split=replace(source.split, options=options))
    with pytest.raises(ManifestError, match=r"tiny.toml: split.train.reader"):
        idx.table(source)


def test_a_field_of_varying_size_is_refused(tmp_path: Path) -> None:
    fields = (Field("image", "uint8", (None, None, 1)), raw.LABEL)
    with pytest.raises(ManifestError, match="expected fixed sizes"):
        idx.table(raw.digits(tmp_path, fields=fields))
