"""The reader of CIFAR: pictures out of planes, out of pickles, out of a tar.gz, in any order."""

from __future__ import annotations

import gzip
import pickle
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets import readers
from dsets.archive import tar
from dsets.errors import DataError, ManifestError, UsageError
from dsets.field import Field
from dsets.manifest import File, Source, Split
from dsets.readers import cifar
from dsets.readers._cache import DECODED
from tests.readers import raw

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def expected_image(number: int, row: int) -> np.ndarray[Any, Any]:
    """Row ``row`` of batch ``number``, put together pixel by pixel."""
    planes = raw.cifar_batch(number)[b"data"][row]
    image = np.zeros(raw.SIZE, np.uint8)
    for channel in range(3):
        for y in range(4):
            for x in range(4):
                image[y, x, channel] = planes[16 * channel + 4 * y + x]
    return image


def test_the_table_follows_the_order_of_the_split(tmp_path: Path) -> None:
    members = dict(reversed(raw.cifar_members().items()))  # in the archive the order is another
    table = readers.load("cifar").table(raw.cifar_source(tmp_path, members))
    assert table["key"].tolist() == [
        f"data_batch_{batch}/{row:05d}" for batch in (1, 2) for row in range(5)
    ]
    assert table["label"].tolist() == [1, 2, 0, 1, 2, 2, 0, 1, 2, 0]
    assert table["label"].dtype == np.int64
    assert table["filename"].tolist()[4:6] == ["1_4.png", "2_0.png"]


@FRESH
@given(rows=st.lists(st.integers(0, 9)), block=st.integers(1, 4))
def test_any_rows_come_in_any_order_as_pictures(
    tmp_path: Path, rows: list[int], block: int
) -> None:
    source = raw.cifar_source(tmp_path, raw.cifar_members())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar, "BLOCK_ROWS", block)
        found = list(cifar.samples(source, rows))
    assert len(found) == len(rows)
    for row, sample in zip(rows, found, strict=True):
        batch, within = row // 5 + 1, row % 5
        assert sample.key == f"data_batch_{batch}/{within:05d}"
        assert np.array_equal(sample.values["image"], expected_image(batch, within))
        assert sample.values["image"].flags.c_contiguous
        assert not sample.values["image"].flags.writeable
        assert sample.values["label"].dtype == np.int64 and sample.values["label"].shape == ()
        assert int(sample.values["label"]) == (batch + within) % 3


def test_the_test_split_reads_its_own_batch(tmp_path: Path) -> None:
    source = raw.cifar_source(tmp_path, raw.cifar_members(), "test")
    (sample,) = cifar.samples(source, np.array([3]))
    assert sample.key == "test_batch/00003"
    assert np.array_equal(sample.values["image"], expected_image(9, 3))


def test_an_archive_is_inflated_once_for_a_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[str] = []
    walk = tar.walk

    def counting(stream: Any) -> Any:
        for entry, body in walk(stream):
            walked.append(entry.name)
            yield entry, body

    monkeypatch.setattr(tar, "walk", counting)
    members = raw.cifar_members()
    source = raw.cifar_source(tmp_path, members)
    for row in (9, 0, 5, 3):
        list(cifar.samples(source, [row]))
    cifar.table(source)
    assert walked == list(members)


def test_nothing_of_an_archive_with_a_wrong_checksum_is_believed(tmp_path: Path) -> None:
    content = bytearray(WHOLE)
    content[-6] ^= 1
    source = raw.cifar_from(tmp_path, bytes(content))
    for _ in range(2):
        with pytest.raises(DataError, match="incorrect data check"):
            next(cifar.samples(source, [0]))


def test_a_split_larger_than_the_cache_keeps_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = raw.cifar_source(tmp_path, raw.cifar_members())
    monkeypatch.setattr(DECODED, "limit", 1)
    found = [sample.key for sample in cifar.samples(source, [0, 9, 1])]
    assert found == ["data_batch_1/00000", "data_batch_2/00004", "data_batch_1/00001"]
    assert DECODED.bytes == 0


def test_python_3_pickles_are_read_too(tmp_path: Path) -> None:
    def batch(number: int, protocol: int) -> bytes:
        value = {key.decode(): value for key, value in raw.cifar_batch(number).items()}
        value["filenames"] = [name.decode() for name in value["filenames"]]
        return pickle.dumps(value, protocol)

    members = raw.cifar_members()
    members |= {"py/data_batch_1": batch(1, 2), "py/data_batch_2": batch(2, 5)}
    members["py/batches.meta"] = pickle.dumps({"label_names": list(raw.CLASSES)}, 4)
    source = raw.cifar_source(tmp_path, members)
    for row, sample in enumerate(cifar.samples(source, range(10))):
        assert np.array_equal(sample.values["image"], expected_image(row // 5 + 1, row % 5))


def test_pickles_of_python_3_may_take_two_bytes_for_one(tmp_path: Path) -> None:
    rows, size = 100, (32, 32, 3)
    pixels = np.full((rows, 32 * 32 * 3), 255, np.uint8)
    batch = {"data": pixels, "labels": [0] * rows, "filenames": ["a"] * rows}
    meta = {"label_names": list(raw.CLASSES)}
    members = {"b": pickle.dumps(batch, 2), "meta": pickle.dumps(meta, 2)}
    assert len(members["b"]) > 2 * pixels.nbytes
    (tmp_path / "c.tar.gz").write_bytes(gzip.compress(raw.tar(members)))
    options = {"archive": "c.tar.gz", "batches": ["b"], "meta": "meta"}
    split = Split("train", rows, ("c.tar.gz",), True, options)
    fields = [Field("image", "uint8", size), raw.LABEL]
    manifest = raw.manifest_of("cifar", [File("c.tar.gz")], [split], fields)
    found = list(cifar.samples(Source(manifest, split, tmp_path), range(rows)))
    assert len(found) == rows and all((one.values["image"] == 255).all() for one in found)


def test_two_sets_of_labels_need_options_only(tmp_path: Path) -> None:
    batch = raw.cifar_batch(1, labels=None, fine_labels=[0, 1, 2, 0, 1], coarse_labels=[1] * 5)
    names = {b"fine_label_names": [b"cat", b"dog", b"frog"], b"coarse_label_names": [b"a", b"b"]}
    members = {"c100/train": raw.python2(batch), "c100/meta": raw.python2(names)}
    (tmp_path / "c.tar.gz").write_bytes(gzip.compress(raw.tar(members)))
    options = {
        "archive": "c.tar.gz",
        "batches": ["c100/train"],
        "meta": "c100/meta",
        "labels": {"label": "fine_labels", "coarse": "coarse_labels"},
        "names": {"label": "fine_label_names", "coarse": "coarse_label_names"},
    }
    split = Split("train", 5, ("c.tar.gz",), True, options)
    coarse = Field("coarse", "int64", (), classes=("a", "b"))
    fields = [Field("image", "uint8", raw.SIZE), raw.LABEL, coarse]
    manifest = raw.manifest_of("cifar", [File("c.tar.gz")], [split], fields)
    table = cifar.table(Source(manifest, split, tmp_path))
    assert list(table.columns) == ["key", "label", "coarse", "filename"]
    assert table["label"].tolist() == [0, 1, 2, 0, 1] and table["coarse"].tolist() == [1] * 5
    assert table["key"].iloc[0] == "train/00000"


def test_a_plain_tar_under_the_published_name_is_read(tmp_path: Path) -> None:
    source = raw.cifar_from(tmp_path, raw.tar(raw.cifar_members()))
    assert len(cifar.table(source)) == 10


def changed(**changes: Any) -> Mapping[str, bytes]:
    return raw.cifar_members(**changes)


def with_member(name: str, content: bytes) -> Mapping[str, bytes]:
    return raw.cifar_members() | {name: content}


def without(name: str) -> Mapping[str, bytes]:
    return {key: value for key, value in raw.cifar_members().items() if key != name}


BATCH = "py/data_batch_1"
META = "py/batches.meta"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (without(BATCH), "members are missing; expected py/data_batch_1"),
        (without(META), "members are missing; expected py/batches.meta"),
        (changed(labels=[0, 1, 2, 3, 0]), "label of row 3 is not a class.*expected 0 to 2, got 3"),
        (changed(labels=[0, 1, 2, -1, 0]), "label of row 3 is not a class"),
        (changed(labels=[0, 1]), "wrong number of labels; expected 5, got 2"),
        (changed(labels=b"\0\1\2\0\1"), "wrong 'labels'; expected a list of integers"),
        (changed(labels=[b"0"] * 5), "wrong 'labels'; expected a list of integers"),
        (changed(labels=None), "wrong 'labels'; expected a list of integers"),
        (changed(data=None), "wrong 'data'; expected an array, got NoneType"),
        (changed(data=b"x" * 240), "wrong 'data'; expected an array, got bytes"),
        (changed(data=np.zeros((5, 47), "u1")), r"wrong 'data'; expected uint8 \(5, 48\), got"),
        (changed(data=np.zeros((4, 48), "u1")), r"wrong 'data'; expected uint8 \(5, 48\), got"),
        (changed(data=np.zeros((5, 4, 4, 3), "u1")), "wrong 'data'"),
        (changed(filenames=[b"a"]), "wrong number of filenames"),
        (changed(filenames=[1] * 5), "wrong 'filenames'; expected a list of strings"),
        (with_member(BATCH, pickle.dumps(print)), "refused global name.*builtins.print"),
        (with_member(BATCH, raw.python2([1])), "wrong pickle; expected a dictionary, got list"),
        (with_member(BATCH, b""), "cut short"),
        (with_member(BATCH, bytes(200_000)), "member is too long; expected at most"),
        (with_member(META, bytes(200_000)), "member is too long; expected at most 65,536"),
        (with_member(META, raw.python2({b"x": 1})), "wrong 'label_names'"),
        (
            with_member(META, raw.python2({b"label_names": [b"dog", b"cat", b"frog"]})),
            "class names of label differ from the manifest's; expected cat, dog, frog, got dog, c",
        ),
    ],
)
def test_a_mislabelled_or_hostile_archive_gets_one_error(
    tmp_path: Path, members: Mapping[str, bytes], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        cifar.table(raw.cifar_source(tmp_path, members))
    assert str(tmp_path / "c.tar.gz") in str(caught.value)
    assert "the manifest is wrong" in str(caught.value)


WHOLE = gzip.compress(raw.tar(raw.cifar_members()), mtime=0)


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (b"<!DOCTYPE html>", "a web page saved in its place"),
        (gzip.compress(b"<html>404</html>" * 100), "a web page saved in its place"),
        (WHOLE[: len(WHOLE) // 2], "cut short"),
        (raw.tar(raw.cifar_members())[:2000], "cut short|declares too much"),
        (b"", "empty file"),
    ],
)
def test_what_is_no_archive_gets_one_error(tmp_path: Path, archive: bytes, message: str) -> None:
    source = raw.cifar_from(tmp_path, archive)
    with pytest.raises(DataError, match=message):
        list(cifar.samples(source, [0]))


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    members = raw.tar(raw.cifar_members())
    again = raw.tar({BATCH: raw.cifar_members()[BATCH]})
    end = members.rstrip(b"\0")
    whole = end + bytes(-len(end) % 512) + again
    with pytest.raises(DataError, match="py/data_batch_1: member is there twice"):
        cifar.table(raw.cifar_from(tmp_path, whole))


def test_a_bomb_in_the_archive_costs_neither_memory_nor_time(tmp_path: Path) -> None:
    bomb = gzip.compress(raw.tar({"bomb": bytes(60 << 20)} | raw.cifar_members()), 1)
    source = raw.cifar_from(tmp_path, bomb)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="declares too much"):
            cifar.table(source)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@FRESH
@given(at=st.integers(0, 100_000), flip=st.integers(1, 255))
def test_a_damaged_archive_never_gives_other_pictures(tmp_path: Path, at: int, flip: int) -> None:
    content = bytearray(WHOLE)
    content[at % len(content)] ^= flip
    source = raw.cifar_from(tmp_path, bytes(content))
    DECODED.clear()
    try:
        found = list(cifar.samples(source, range(10)))
    except DataError as error:
        assert "c.tar.gz" in str(error)
    else:  # a byte of gzip's own header that says nothing of the content
        for row, sample in enumerate(found):
            assert np.array_equal(sample.values["image"], expected_image(row // 5 + 1, row % 5))


@pytest.mark.parametrize(
    "changes",
    [
        {"archive": "other.tar.gz"},
        {"batches": []},
        {"batches": "py/data_batch_1"},
        {"batches": ["py/data_batch_1"] * 2},
        {"batches": ["a", "b", "c"]},
        {"batches": [{}]},
        {"meta": "py/data_batch_1"},
        {"labels": {"other": "labels"}},
        {"labels": "labels"},
        {"surplus": 1},
    ],
)
def test_wrong_options_are_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    source = raw.cifar_source(tmp_path, raw.cifar_members())
    options = {**source.split.options, **changes}
    source = replace(source, split=replace(source.split, options=options))
    with pytest.raises(ManifestError, match=f"bad option {next(iter(changes))}"):
        cifar.table(source)


def test_fields_that_are_not_cifars_are_refused(tmp_path: Path) -> None:
    source = raw.cifar_source(tmp_path, raw.cifar_members())
    manifest = replace(source.manifest, fields=(raw.LABEL,))
    with pytest.raises(ManifestError, match="the fields are not CIFAR's"):
        cifar.table(replace(source, manifest=manifest))


def test_a_row_that_is_not_in_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected 0 to 9, got 10 to 10"):
        list(cifar.samples(raw.cifar_source(tmp_path, raw.cifar_members()), [10]))
