"""The reader of ImageNet: the same pictures in the same order out of every layout."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets import manifest, prepare, readers, verify
from dsets.errors import DataError, ManifestError, UsageError
from dsets.field import Field
from dsets.manifest import Source
from dsets.readers import _imagenet_pictures, imagenet
from tests.readers import tiny_imagenet as tiny

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
REAL = Path(__file__).parents[3] / "shared" / "data" / "imagenet"


def test_the_table_says_what_each_picture_is_and_where_it_lies(tmp_path: Path) -> None:
    source = tiny.official(tmp_path)
    table = readers.load("imagenet").table(source)
    assert table["key"].tolist() == list(tiny.TRAIN)
    assert [key for some in readers.keys(source) for key in some] == table["key"].tolist()
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
    source = tiny.official(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_imagenet_pictures, "WINDOW_ROWS", window)
        patch.setattr(_imagenet_pictures, "WINDOW_BYTES", size)
        found = [(sample.key, sample.values["image"]) for sample in imagenet.samples(source, rows)]
    assert found == [(tiny.TRAIN[row], tiny.picture(tiny.TRAIN[row])) for row in rows]


def test_values_have_the_types_of_their_fields(tmp_path: Path) -> None:
    (sample,) = imagenet.samples(tiny.official(tmp_path), [3])
    assert list(sample.values) == [field.name for field in tiny.FIELDS]
    for name, dtype, value in (("label", np.int64, 2), ("ilsvrc_id", np.int64, 193)):
        assert sample.values[name].dtype == dtype and sample.values[name] == value
    assert sample.values["boxes"].shape == (0, 4)
    assert sample.values["boxes"].dtype == np.float32


def test_a_row_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected 0 to 4"):
        list(imagenet.samples(tiny.official(tmp_path, samples=100), [5]))


def test_the_table_has_what_is_there_whatever_the_manifest_says(tmp_path: Path) -> None:
    source = tiny.official(tmp_path, samples=7)
    assert len(imagenet.table(source)) == 5
    report = verify.samples(source)
    assert [check.message for check in report.checks if not check.ok] == [
        "5 samples, the manifest says 7"
    ]


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
        imagenet.table(tiny.of(tmp_path, members))


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


def test_what_else_lies_among_the_inner_archives_is_passed_over_with_a_note(tmp_path: Path) -> None:
    junk = {"._n01440764.tar": b"\0\5\x16\7" * 200, "README": b"hello" * 200, "._README": b"x"}
    inner = {"n01440764.tar": tiny.tar({"n01440764_7.JPEG": b"x", "._n01440764_7.JPEG": b"y"})}
    source = tiny.source(tmp_path, {"train.tar": tiny.tar(junk | inner)}, layout="tar of tars")
    assert imagenet.table(source)["key"].tolist() == ["n01440764_7"]
    (note,) = imagenet.notes(source)
    assert note == "train.tar: hidden archives, passed over: 1, the first ._n01440764.tar"
    assert not imagenet.remarks(source)


def test_a_picture_of_impossible_size_is_bad_before_it_takes_memory(tmp_path: Path) -> None:
    source = tiny.of(tmp_path, {"n01440764_7.JPEG": b""})
    path = source.path("images.tar")
    head = bytearray(path.read_bytes()[:512])
    head[124:136] = b"%011o\0" % (1 << 30)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(head)
    os.truncate(path, 512 + (1 << 30) + 1024)
    assert imagenet.table(source)["bytes"].tolist() == [(256 << 20) + 1]
    (sample,) = imagenet.samples(source, [0])
    assert sample.values["image"] == b""
    assert str(sample.problem) == "picture file too large; expected at most 268435456 bytes"
    (note,) = imagenet.notes(source)
    assert "more than 268,435,456 bytes" in note and note.endswith("the first n01440764_7.JPEG")


def test_an_archive_that_is_not_there_is_told(tmp_path: Path) -> None:
    source = tiny.official(tmp_path)
    source.path("train.tar").unlink()
    with pytest.raises(DataError, match="no such file"):
        imagenet.table(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "other.tar"}, "bad option images"),
        ({"layout": "rar"}, "bad option layout"),
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
    source = tiny.official(tmp_path)
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
        imagenet.table(tiny.official(tmp_path, fields=fields))


def test_pictures_that_cannot_be_decoded_are_bad_samples_and_a_png_is_not(tmp_path: Path) -> None:
    members = tiny.pictures(tiny.TRAIN)
    sound = verify.samples(tiny.of(tmp_path / "a", members))
    assert {c.name: c.message for c in sound.checks}["image"] == "4 JPEG, 1 PNG"
    whole = members["n01440764_10.JPEG"]
    for bad in (b"<html>", b"", whole[:300], whole[:20] + bytes(500), whole[:-40] + whole[-2:]):
        members["n01440764_10.JPEG"] = bad
        report = verify.samples(tiny.of(tmp_path / f"b{len(bad)}", members))
        failed = {check.name: check.message for check in report.checks if not check.ok}
        assert sorted(failed) == ["image", "samples"]
        assert "n01440764_10: not a readable image" in failed["samples"]
        assert failed["image"].startswith("1 cannot be decoded and are bad samples; of the others")


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
