"""The reader of ImageNet: the same pictures in the same order out of every layout."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets import manifest, prepare, readers, verify
from dsets.errors import DataError, ManifestError, UsageError
from dsets.field import Field
from dsets.manifest import Source
from dsets.readers import _imagenet_pictures, _index_file, imagenet
from dsets.readers._cache import DECODED
from tests.readers import tiny_imagenet as tiny

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
REAL = Path(__file__).parents[3] / "shared" / "data" / "imagenet"


def official(root: Path, **more: Any) -> Source:
    return tiny.source(root, {"train.tar": tiny.tar_of_tars()}, layout="tar of tars", **more)


def of(root: Path, members: Mapping[str, bytes], split: str = "train", **more: Any) -> Source:
    return tiny.source(root, {"images.tar": tiny.tar(members)}, split, **more)


def devkit(truth: bytes = tiny.GROUND_TRUTH) -> bytes:
    name = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
    return gzip.compress(tiny.tar({"ILSVRC2012_devkit_t12/readme.txt": b"hello", name: truth}))


def val(root: Path, truth: bytes, kind: str = "truth", **more: Any) -> Source:
    files = {"val.tar": tiny.tar(tiny.pictures(tiny.VAL, "./")), "labels": truth}
    return tiny.source(root, files, "val", **{kind: "labels"}, **more)


def test_the_table_says_what_each_picture_is_and_where_it_lies(tmp_path: Path) -> None:
    source = official(tmp_path)
    table = readers.load("imagenet").table(source)
    assert table["key"].tolist() == list(tiny.TRAIN)
    assert table["label"].tolist() == [0, 0, 0, 2, 2]
    assert table["ilsvrc_id"].tolist() == [449, 449, 449, 193, 193]
    assert table["wnid"].tolist() == ["n01440764"] * 3 + ["n02105855"] * 2
    assert table["archive"].tolist() == ["n01440764.tar"] * 3 + ["n02105855.tar"] * 2
    data = source.path("train.tar").read_bytes()
    for key, offset, size in zip(table["key"], table["offset"], table["bytes"], strict=True):
        assert data[offset : offset + size] == tiny.picture(key)
    assert table["box_count"].tolist() == [0] * 5


def test_every_layout_gives_the_same_samples_in_the_same_order(tmp_path: Path) -> None:
    for name, source in tiny.layouts(tmp_path).items():
        samples = list(imagenet.samples(source, range(len(tiny.TRAIN))))
        assert [sample.key for sample in samples] == list(tiny.TRAIN), name
        assert [sample.values["image"] for sample in samples] == [
            tiny.picture(key) for key in tiny.TRAIN
        ], name
        assert imagenet.table(source)["label"].tolist() == [0, 0, 0, 2, 2], name
        assert verify.samples(source).ok, name


PASS_THROUGH = """
STATISTICS = None

def fields(manifest):
    return tuple(field for field in manifest.fields if field.name in ("image", "label"))

def make(sample):
    return sample.values
"""


def test_packs_of_every_layout_have_the_same_samples_digest(tmp_path: Path) -> None:
    pipeline = tmp_path / "bytes.py"
    pipeline.write_text(PASS_THROUGH)
    sources = tiny.layouts(tmp_path)
    indices = []
    for name in ("official", "folders"):
        plan = prepare.plan(
            sources[name].manifest,
            pipeline=pipeline,
            out=tmp_path / "packs" / name,
            raw=sources[name].root,
            shard_bytes=256,
        )
        indices.extend(prepare.run(plan))
    assert len({index.samples_digest for index in indices}) == 1
    assert len({tuple(shard.sha256 for shard in index.shards) for index in indices}) == 1


@FRESH
@given(rows=st.lists(st.integers(0, 4), max_size=12), window=st.integers(1, 5), size=st.integers(1))
def test_any_rows_come_in_the_order_asked_for(
    tmp_path: Path, rows: list[int], window: int, size: int
) -> None:
    source = official(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_imagenet_pictures, "WINDOW_ROWS", window)
        patch.setattr(_imagenet_pictures, "WINDOW_BYTES", size)
        found = [(sample.key, sample.values["image"]) for sample in imagenet.samples(source, rows)]
    assert found == [(tiny.TRAIN[row], tiny.picture(tiny.TRAIN[row])) for row in rows]


def test_values_have_the_types_of_their_fields(tmp_path: Path) -> None:
    (sample,) = imagenet.samples(official(tmp_path), [3])
    assert list(sample.values) == [field.name for field in tiny.FIELDS]
    for name, dtype, value in (("label", np.int64, 2), ("ilsvrc_id", np.int64, 193)):
        assert sample.values[name].dtype == dtype and sample.values[name] == value
    assert sample.values["boxes"].shape == (0, 4)
    assert sample.values["boxes"].dtype == np.float32


def test_a_row_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected 0 to 4"):
        list(imagenet.samples(official(tmp_path, samples=100), [5]))


def test_the_table_has_what_is_there_whatever_the_manifest_says(tmp_path: Path) -> None:
    source = official(tmp_path, samples=7)
    assert len(imagenet.table(source)) == 5
    report = verify.samples(source)
    assert [check.message for check in report.checks if not check.ok] == [
        "5 samples, the manifest says 7"
    ]


# Validation: labels by the number in the name, since archives may hold any part of the split.


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("truth", devkit()),
        ("truth", gzip.decompress(devkit())),
        ("truth", tiny.GROUND_TRUTH),
        ("truth", tiny.GROUND_TRUTH.replace(b"\n", b"\r\n")),
        ("solution", tiny.SOLUTION),
    ],
)
def test_labels_of_numbered_pictures_come_from_what_was_published(
    tmp_path: Path, kind: str, content: bytes
) -> None:
    source = val(tmp_path, content, kind)
    table = imagenet.table(source)
    assert table["key"].tolist() == list(tiny.VAL)
    assert table["label"].tolist() == list(tiny.VAL_LABELS)
    assert table["ilsvrc_id"].tolist() == [tiny.IDS[label] for label in tiny.VAL_LABELS]
    assert verify.samples(source).ok


def test_folders_called_after_classes_need_no_development_kit(tmp_path: Path) -> None:
    members = {
        f"val/{tiny.WNIDS[label]}/{key}.JPEG": tiny.picture(key)
        for key, label in zip(tiny.VAL, tiny.VAL_LABELS, strict=True)
    }
    source = of(tmp_path, members, "val", labels="folder")
    assert imagenet.table(source)["label"].tolist() == list(tiny.VAL_LABELS)

    source = of(tmp_path, tiny.pictures(tiny.VAL), "val", labels="folder")
    with pytest.raises(DataError, match="is in no folder of a class"):
        imagenet.table(source)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (devkit(b"449\n0\n"), "bad line 2; expected an ILSVRC id, 1 to 449, got '0'"),
        (devkit(b"449\n3\n"), "bad line 2"),
        (devkit(b"449\n-2\n"), "bad line 2"),
        (devkit(b"449\n" + b"9" * 5000), "bad line 2"),
        (devkit(b"449\n193\n449\n"), "no label for ILSVRC2012_val_00000007"),
        (devkit("449\n²\n".encode()), "not plain text"),
        (gzip.compress(tiny.tar({"readme.txt": b"x"})), "no ground truth in the archive"),
        (devkit()[:-20], "cut short"),
        (b"<html>", "bad line 1"),
    ],
)
def test_a_bad_ground_truth_is_refused(tmp_path: Path, truth: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        imagenet.table(val(tmp_path, truth))


@pytest.mark.parametrize(
    ("solution", "message"),
    [
        (tiny.SOLUTION[10:], "not Kaggle's solution"),
        (tiny.SOLUTION.replace(b"_00000007", b"_00000003"), "bad line"),
        (tiny.SOLUTION.replace(b"n02105855", b"n99999999"), "bad line 3"),
        (tiny.SOLUTION.replace(b"_val_00000007", b"_test_00000007"), "bad line 2"),
        (tiny.SOLUTION.replace(b",n02105855 1 2 3 4 ", b""), "bad line 3"),
        (tiny.SOLUTION.partition(b"ILSVRC2012_val_00000003")[0], "no label for"),
    ],
)
def test_a_bad_solution_is_refused(tmp_path: Path, solution: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        imagenet.table(val(tmp_path, solution, "solution"))


def test_the_ground_truth_of_validation_labels_no_test_picture(tmp_path: Path) -> None:
    files = {"t.tar": tiny.tar(tiny.pictures(tiny.TEST)), "kit": devkit()}
    source = tiny.source(tmp_path, files, "test", truth="kit")
    with pytest.raises(DataError, match="labels of validation pictures"):
        imagenet.table(source)


def test_withheld_labels_are_minus_one_and_pass_verification(tmp_path: Path) -> None:
    members = tiny.pictures(tiny.TEST, "test/")
    source = of(tmp_path, members, "test", withheld=["label", "ilsvrc_id"])
    table = imagenet.table(source)
    assert table["key"].tolist() == list(tiny.TEST)
    assert table["label"].tolist() == table["ilsvrc_id"].tolist() == [-1, -1]
    assert table["wnid"].isna().all()
    report = verify.samples(source)
    assert report.ok
    assert {c.name: c.message for c in report.checks}["label"] == "withheld, so -1 in each sample"


def test_labels_are_not_silently_absent(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="nothing says which classes"):
        imagenet.table(of(tmp_path, tiny.pictures(tiny.TEST), "test"))


# What must not pass.


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"n01440764/n02105855_7.JPEG": b"x"}, "lies with another class; expected n01440764"),
        ({"n99999999_7.JPEG": b"x"}, "a class that is not in the manifest"),
        ({"a/n01440764_7.JPEG": b"x", "b/n01440764_7.jpg": b"y"}, "n01440764_7 is there twice"),
        ({"n01440764_7.JPEG": b"x", f"{tiny.VAL[0]}.JPEG": b"y"}, "of different splits"),
        ({f"{tiny.TEST[0]}.JPEG": b"x", f"{tiny.VAL[0]}.JPEG": b"y"}, "of different splits"),
        ({"README": b"x"}, "no pictures; expected names like n01440764_10026.JPEG, got README"),
        ({"n01440764_007.JPEG": b"x", "n0144076\uff14_7.JPEG": b"x"}, "no pictures"),
    ],
)
def test_pictures_that_cannot_be_right_are_refused(
    tmp_path: Path, members: Mapping[str, bytes], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        imagenet.table(of(tmp_path, members))


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (tiny.tar({"n02105855_7.JPEG": b"x"}), "lies with another class"),
        (b"no tar" * 200, "n01440764.tar: not a tar archive"),
        (tiny.tar({"n01440764_7.JPEG": b"x" * 999})[:1200], "cut short in member n01440764_7"),
        (tiny.tar({"../n01440764_7.JPEG": b"x"}), "hostile member name"),
    ],
)
def test_an_inner_archive_that_cannot_be_right_is_refused(
    tmp_path: Path, inner: bytes, message: str
) -> None:
    files = {"train.tar": tiny.tar({"n01440764.tar": inner})}
    with pytest.raises(DataError, match=message):
        imagenet.table(tiny.source(tmp_path, files, layout="tar of tars"))


def test_a_picture_of_impossible_size_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    source = of(tmp_path, {"n01440764_7.JPEG": b""})
    path = source.path("images.tar")
    head = bytearray(path.read_bytes()[:512])
    head[124:136] = b"%011o\0" % (1 << 30)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(head)
    os.truncate(path, 512 + (1 << 30) + 1024)
    with pytest.raises(DataError, match="is too large; expected 268,435,456 bytes at most"):
        imagenet.table(source)


def test_an_archive_that_is_not_there_is_told(tmp_path: Path) -> None:
    source = official(tmp_path)
    source.path("train.tar").unlink()
    with pytest.raises(DataError, match="no such file"):
        imagenet.table(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "other.tar"}, "bad option images"),
        ({"layout": "zip"}, "bad option layout"),
        ({"truth": "kit"}, "bad option truth"),
        ({"truth": "train.tar", "labels": "folder"}, "bad option truth, labels"),
        ({"labels": "guess"}, "bad option labels"),
        ({"boxes": "b.tar"}, "bad option boxes"),
        ({"boxes": ["undeclared"]}, "no such file"),
        ({"ilsvrc_ids": [1, 2]}, "bad option ilsvrc_ids; expected 3 different numbers"),
        ({"ilsvrc_ids": [1, 2, 2]}, "bad option ilsvrc_ids"),
        ({"ilsvrc_ids": []}, "bad option ilsvrc_ids; expected them in the training split"),
        ({"lables": "folder"}, "bad option lables"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    source = official(tmp_path)
    split = replace(source.split, options={**source.split.options, **options})
    manifest_ = replace(source.manifest, splits=(split,))
    with pytest.raises(ManifestError, match=message):
        imagenet.table(Source(manifest_, split, source.root))


@pytest.mark.parametrize(
    "fields",
    [
        tiny.FIELDS[:1],
        tiny.FIELDS[1:],
        (tiny.FIELDS[0], Field("label", "int64", ())),
        (tiny.FIELDS[0], Field("label", "int64", (), classes=("n02105855", "n01440764"))),
        (*tiny.FIELDS[:2], Field("mask", "uint8", (None, None))),
        (Field("image", "uint8", (None, None, 3)), tiny.FIELDS[1]),
    ],
)
def test_other_fields_are_refused(tmp_path: Path, fields: tuple[Field, ...]) -> None:
    with pytest.raises(ManifestError, match="the fields are not ImageNet's"):
        imagenet.table(official(tmp_path, fields=fields))


def test_a_web_page_in_a_pictures_place_fails_verification_and_a_png_does_not(
    tmp_path: Path,
) -> None:
    members = tiny.pictures(tiny.TRAIN)
    sound = verify.samples(of(tmp_path / "a", members))
    assert {c.name: c.message for c in sound.checks}["image"] == "4 JPEG, 1 PNG"
    for bad in (b"<html>", b""):
        members["n01440764_10.JPEG"] = bad
        report = verify.samples(of(tmp_path / f"b{len(bad)}", members))
        (failed,) = [check for check in report.checks if not check.ok]
        assert failed.message.startswith("1 are no images, the first is n01440764_10;")


# Boxes.


def boxed(root: Path, annotations: Mapping[str, bytes], **more: Any) -> Source:
    files = {"images.tar": tiny.tar(tiny.pictures(tiny.TRAIN)), "boxes.tar.gz": b""}
    files["boxes.tar.gz"] = gzip.compress(tiny.tar(annotations))
    return tiny.source(root, files, boxes=["boxes.tar.gz"], **more)


def test_boxes_come_out_where_their_archive_is_in_the_store(tmp_path: Path) -> None:
    source = boxed(
        tmp_path,
        {
            "n02105855/n02105855_7.xml": tiny.annotation((1, 2, 3, 4), (5.5, 6, 7, 8)),
            "n01440764/n01440764_10.xml": tiny.annotation((9, 9, 10, 10)),
            "n01440764/n01440764_999.xml": tiny.annotation((9, 9, 10, 10)),  # no such picture
            "n01440764/n01440764_2.xml": tiny.annotation(),
            "readme": b"hello",
        },
    )
    found = {sample.key: sample.values["boxes"] for sample in imagenet.samples(source, range(5))}
    assert found["n02105855_7"].tolist() == [[1, 2, 3, 4], [5.5, 6, 7, 8]]
    assert found["n01440764_10"].tolist() == [[9, 9, 10, 10]]
    assert found["n01440764_2"].shape == found["n02105855_2933"].shape == (0, 4)
    assert imagenet.table(source)["box_count"].tolist() == [0, 1, 0, 2, 0]
    assert verify.samples(source).ok

    source.path("boxes.tar.gz").unlink()  # optional files are never demanded
    assert imagenet.table(source)["box_count"].tolist() == [0] * 5


def test_boxes_of_numbered_pictures_find_them(tmp_path: Path) -> None:
    files = {
        "v.tar": tiny.tar(tiny.pictures(tiny.VAL)),
        "kit": devkit(),
        "b.tgz": gzip.compress(tiny.tar({f"val/{tiny.VAL[1]}.xml": tiny.annotation((1, 2, 3, 4))})),
    }
    source = tiny.source(tmp_path, files, "val", truth="kit", boxes=["b.tgz"])
    assert imagenet.table(source)["box_count"].tolist() == [0, 1, 0]


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]>'
FILE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (tiny.annotation((1, 2, 3, 4), declaration=BOMB), "document type"),
        (tiny.annotation(("&b;", 2, 3, 4), declaration=FILE), "document type"),
        (tiny.annotation((1, 2, 3)), "a box with xmin, ymin, xmax"),
        (tiny.annotation((1, 2, 3, "four")), "could not convert"),
        (tiny.annotation((1, 2, 3, "nan")), "no number"),
        (tiny.annotation((1, 2, 3, "1e999")), "no number"),
        (tiny.annotation((1, 2, 3, 4))[:-5], "bad annotation"),
        (b"<html>", "bad annotation"),
        (b"", "bad annotation"),
        (b" " * (1 << 20) + tiny.annotation(), "too long"),
        (b"<a>" * 200_000, "bad annotation"),
    ],
)
def test_a_hostile_annotation_is_refused(tmp_path: Path, xml: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        imagenet.table(boxed(tmp_path, {"n02105855_7.xml": xml}))
    assert "n02105855_7.xml" in str(raised.value.where)


# The index in the store.


def test_a_stored_index_is_opened_and_not_made_again(tmp_path: Path) -> None:
    source = official(tmp_path)
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
    source = official(tmp_path)
    assert len(imagenet.table(source)) == 5
    source.path("train.tar").write_bytes(tiny.tar_of_tars(tiny.TRAIN[:2]))
    assert imagenet.table(source)["key"].tolist() == list(tiny.TRAIN[:2])
    DECODED.clear()
    assert imagenet.table(source)["key"].tolist() == list(tiny.TRAIN[:2])


def test_labels_are_looked_up_again_when_the_ground_truth_changes(tmp_path: Path) -> None:
    source = val(tmp_path, devkit())
    assert imagenet.table(source)["label"].tolist() == [2, 0, 1]
    source.path("labels").write_bytes(devkit(b"2\n" * 10))
    assert imagenet.table(source)["label"].tolist() == [1, 1, 1]


@FRESH
@given(data=st.data())
def test_a_damaged_index_is_made_again(tmp_path: Path, data: st.DataObject) -> None:
    source = official(tmp_path)
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
    source = official(tmp_path)
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
    source = official(tmp_path)
    home.mkdir()
    (home / "index").write_bytes(b"in the way")
    assert imagenet.table(source)["key"].tolist() == list(tiny.TRAIN)


def keys_and_bytes(source: Source) -> list[tuple[str, bytes]]:
    found = imagenet.samples(source, [4, 0, 2])
    return [(sample.key, sample.values["image"]) for sample in found]


def test_threads_and_spawned_processes_read_side_by_side(tmp_path: Path) -> None:
    expected = [(tiny.TRAIN[row], tiny.picture(tiny.TRAIN[row])) for row in (4, 0, 2)]
    source = official(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(keys_and_bytes, [source] * 16)) == [expected] * 16
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        reports = list(processes.map(verify.samples, [source] * 4))  # each forgets the index first
    assert [report.ok for report in reports] == [True] * 4


def test_samples_that_are_not_read_to_the_end_leave_no_file_open(tmp_path: Path) -> None:
    source = official(tmp_path)
    list(imagenet.samples(source, [0]))
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        samples = imagenet.samples(source, range(5))
        next(samples)
        samples.close()
    assert len(os.listdir("/dev/fd")) == before


# Loose files.


def loose(root: Path) -> Source:
    listing = tiny.folder(root / "train", tiny.pictures(tiny.TRAIN))
    return tiny.source(root, {"train.listing": listing}, layout="listing")


def problems(source: Source) -> dict[str, str]:
    found = imagenet.samples(source, range(5))
    return {sample.key: str(sample.problem) for sample in found if sample.problem}


def test_a_loose_file_with_other_bytes_is_a_problem_of_its_sample_alone(tmp_path: Path) -> None:
    source = loose(tmp_path)
    assert problems(source) == {}
    path = tmp_path / "train" / "n01440764_10026.JPEG"
    good = path.read_bytes()
    for content in (good[:-1] + b"x", good + b"x" * 999, b""):
        path.write_bytes(content)
        assert problems(source) == {path.stem: "not the bytes that were adopted"}
        (found,) = (one for one in imagenet.samples(source, range(5)) if one.problem)
        assert found.values["image"] == content[: len(good) + 1]
    report = verify.samples(source)
    assert not report.ok and any("not the bytes" in check.message for check in report.checks)


@pytest.mark.parametrize(
    "replace",
    [lambda path: None, Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)],
    ids=["gone", "folder", "pipe", "loop"],
)
def test_a_loose_file_that_cannot_be_read_is_a_problem_of_its_sample_alone(
    tmp_path: Path, replace: Callable[[Path], object]
) -> None:
    source = loose(tmp_path)
    path = tmp_path / "train" / "n01440764_10026.JPEG"
    path.unlink()
    replace(path)
    assert problems(source) == {path.stem: "the file is missing or cannot be read"}


def test_a_listed_folder_that_is_gone_is_no_problem_of_its_pictures(tmp_path: Path) -> None:
    source = loose(tmp_path)
    assert problems(source) == {}
    (tmp_path / "train").rename(tmp_path / "unmounted")
    with pytest.raises(DataError, match=r"train: cannot be read .*; adopt the folder again"):
        problems(source)


def test_the_folder_of_a_listing_may_be_a_link(tmp_path: Path) -> None:
    source = loose(tmp_path / "store")
    shutil.move(tmp_path / "store" / "train", tmp_path / "elsewhere")
    (tmp_path / "store" / "train").symlink_to(tmp_path / "elsewhere")
    assert len(keys_and_bytes(source)) == 3


# The real thing.


@pytest.mark.skipif(not REAL.is_dir(), reason="the real pictures are not here")
def test_real_archives_are_read_with_the_shipped_manifest(tmp_path: Path) -> None:
    from dsets import codecs

    found = manifest.find("imagenet")
    for split, count in (("train", 500), ("val", 24)):
        source = Source(found, found.split(split), REAL)
        table = imagenet.table(source)
        assert len(table) == count
        samples = list(imagenet.samples(source, range(count)))
        assert {codecs.format_of(sample.values["image"]) for sample in samples} <= {"JPEG", "PNG"}
        assert [sample.key for sample in samples] == table["key"].tolist()
        if split == "train":
            wnids = [sample.key.partition("_")[0] for sample in samples]
            assert table["wnid"].tolist() == wnids == sorted(wnids)
            assert codecs.decode(samples[0].values["image"]).ndim == 3
