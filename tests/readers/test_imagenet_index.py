"""The index of ImageNet's pictures that is kept in the store."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets import verify
from dsets.readers import _index_file, imagenet
from dsets.readers._cache import DECODED
from tests.readers import tiny_imagenet as tiny

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def test_a_stored_index_is_opened_and_not_made_again(tmp_path: Path) -> None:
    source = tiny.official(tmp_path)
    before = imagenet.table(source)
    spoil_header(source.path("train.tar"))
    DECODED.clear()  # as another process would begin
    pd.testing.assert_frame_equal(imagenet.table(source), before)
    assert not verify.samples(source).ok, "verification must read the archive itself"


def spoil_header(path: Path) -> None:
    """As a failing disk would: the same file, the same size, the same time."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(148)
        file.write(b"7")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_an_index_of_other_files_is_stale(tmp_path: Path) -> None:
    source = tiny.official(tmp_path)
    assert len(imagenet.table(source)) == 5
    source.path("train.tar").write_bytes(tiny.tar_of_tars(tiny.TRAIN[:2]))
    assert imagenet.table(source)["key"].tolist() == list(tiny.TRAIN[:2])
    DECODED.clear()
    assert imagenet.table(source)["key"].tolist() == list(tiny.TRAIN[:2])


def test_labels_are_looked_up_again_when_the_ground_truth_changes(tmp_path: Path) -> None:
    source = tiny.val(tmp_path, tiny.devkit())
    assert imagenet.table(source)["label"].tolist() == [2, 0, 1]
    source.path("labels").write_bytes(tiny.devkit(b"2\n" * 10))
    assert imagenet.table(source)["label"].tolist() == [1, 1, 1]


@FRESH
@given(data=st.data())
def test_a_damaged_index_is_made_again(tmp_path: Path, data: st.DataObject) -> None:
    source = tiny.official(tmp_path)
    before = imagenet.table(source)
    path = _index_file.path(source)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    DECODED.clear()
    pd.testing.assert_frame_equal(imagenet.table(source), before)


@pytest.mark.parametrize(
    ("facts", "columns"),
    [
        ({"places": ["../../etc", "n01440764.tar"]}, {}),
        ({"places": ["/etc", "n01440764.tar"]}, {}),
        ({"places": "ab"}, {}),
        ({"suffixes": ["/../../x"]}, {}),
        ({"stem": "../"}, {}),
        ({"stem": 7}, {}),
        ({}, {"label": np.full(5, 3, "<i4")}),
        ({}, {"label": np.full(5, -1, "<i4")}),
        ({}, {"place": np.full(5, 2, "<i4")}),
        ({}, {"suffix": np.full(5, -1, "<i4")}),
        ({}, {"number": np.full(4, 1, "<i4")}),
        ({}, {"bytes": np.full(5, 1 << 40, "<i8")}),
        ({}, {"offset": np.full(5, -1, "<i8")}),
        ({}, {"offset": np.full(5, 0, "<f8")}),
        ({}, {"box_end": np.array([0, 0, 3, 2, 0], "<i8")}),
        ({}, {"box_end": np.array([0, 0, 0, 0, 9], "<i8")}),
        ({}, {"sha256": np.zeros((5, 3), np.uint8)}),
        ({}, {"box": np.zeros((0, 3), "<f4")}),
        ({}, {"more": np.zeros(5, "<i8")}),
    ],
)
def test_a_forged_index_is_made_again(
    tmp_path: Path, facts: dict[str, Any], columns: dict[str, np.ndarray[Any, Any]]
) -> None:
    source = tiny.official(tmp_path)
    before = imagenet.table(source)
    path = _index_file.path(source)
    content = path.read_bytes()
    header = json.loads(content[16 : 16 + int.from_bytes(content[12:16], "little")])
    dtypes = {name: dtype for name, dtype, _ in header["columns"]}
    kept = _index_file.read(path, header["key"], dtypes)
    assert kept is not None
    _index_file.write(path, header["key"], kept.facts | facts, kept.columns | columns)
    DECODED.clear()
    pd.testing.assert_frame_equal(imagenet.table(source), before)
    assert path.read_bytes() == content, "and the good one takes its place"


def test_a_store_that_cannot_be_written_to_does_for_reading(tmp_path: Path, home: Path) -> None:
    source = tiny.official(tmp_path)
    home.mkdir()
    (home / "index").write_bytes(b"in the way")
    assert imagenet.table(source)["key"].tolist() == list(tiny.TRAIN)


def test_threads_and_spawned_processes_read_side_by_side(tmp_path: Path) -> None:
    expected = [(tiny.TRAIN[row], tiny.picture(tiny.TRAIN[row])) for row in (4, 0, 2)]
    source = tiny.official(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(tiny.keys_and_bytes, [source] * 16)) == [expected] * 16
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        reports = list(processes.map(verify.samples, [source] * 4))  # each forgets the index first
    assert [report.ok for report in reports] == [True] * 4


def test_samples_that_are_not_read_to_the_end_leave_no_file_open(tmp_path: Path) -> None:
    source = tiny.official(tmp_path)
    list(imagenet.samples(source, [0]))
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        samples = imagenet.samples(source, range(5))
        next(samples)
        samples.close()
    assert len(os.listdir("/dev/fd")) == before
