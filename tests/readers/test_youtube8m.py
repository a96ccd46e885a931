"""YouTube-8M's records at every level; broken ones are told of and left out, one by one."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsets
from dsets import adopt, manifest, prepare, readers, store, stream, verify
from dsets.errors import DataError, ManifestError
from dsets.manifest import Source
from dsets.pack import Pack
from dsets.readers import _cache, _youtube8m_index
from dsets.transforms import dequantize
from tests.archive.records import written
from tests.readers import tiny_youtube8m as tiny
from tests.readers.adopted_youtube8m import adopted, read, source_of

SHARED = Path(__file__).parents[3] / "shared" / "data" / "youtube8m"


def test_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, either: None) -> None:
    found = adopted(tmp_path, monkeypatch, "video", tiny.files(tmp_path / "given"))
    split = found.split("train")
    assert (split.samples, split.whole_files) == (8, 3844)
    assert split.options["counts"] == (4, 4)
    source = source_of(found)
    table = readers.load("youtube8m").table(source)
    assert table["key"].tolist() == [f"{n}{c}" for n in ("aZ", "00") for c in "abcd"]
    assert [list(keys) for keys in readers.keys(source)] == [
        [f"{name}{letter}" for letter in "abcd"] for name in ("aZ", "00")
    ]
    assert table["labels"].tolist() == [(1,)] * 8 and "frames" not in table
    assert set(table["file"]) == {"adopted-train0051.tfrecord", "adopted-train3276.tfrecord"}
    for sample in read(source):
        means = np.arange(10, dtype=np.float32) / 16 - sum(sample.key.encode()) % 2
        assert sample.problem is None
        assert np.array_equal(sample.values["mean_rgb"], means[:8])
        assert np.array_equal(sample.values["mean_audio"], means[8:])
        assert sample.values["labels"].tolist() == [1]
    labels = next(field for field in found.fields if field.name == "labels")
    assert labels.classes == ("Game", "/m/1", "Car", "Dance", "Guitar")


def test_what_adopting_found_out_is_not_found_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = adopted(tmp_path, monkeypatch, "video", tiny.files(tmp_path / "given"))
    _cache.DECODED.clear()
    monkeypatch.setattr(_youtube8m_index, "_made", None)
    assert len(read(source_of(found))) == 8


def test_rows_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = adopted(tmp_path, monkeypatch, "video", tiny.files(tmp_path / "given"))
    rows = [7, 0, 0, 5, 6, 3]
    samples = readers.load("youtube8m").samples(source_of(found), rows)
    keys = [sample.key for sample in read(source_of(found))]
    assert [sample.key for sample in samples] == [keys[row] for row in rows]


def test_frames_and_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, either: None) -> None:
    found = adopted(tmp_path, monkeypatch, "segment", tiny.files(tmp_path / "given", "segment"))
    source = source_of(found)
    table = readers.load("youtube8m").table(source)
    assert table["frames"].tolist() == [8] * 8
    assert table["segment_start_times"].tolist() == [(0, 5)] * 8
    assert table["segment_scores"].tolist() == [(0.0, 1.0)] * 8
    for sample in read(source):
        rgb = sample.values["rgb"]
        assert (rgb.dtype, rgb.shape) == (np.uint8, (8, 8))
        assert rgb[2].tolist() == list(range(2, 10))
        assert sample.values["audio"][:3].tolist() == [[8, 9], [9, 10], [10, 11]]
        assert sample.values["segment_end_times"].tolist() == [5, 10]
        assert sample.values["segment_labels"].tolist() == [0, 1]


def test_features_dequantised_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = adopted(tmp_path, monkeypatch, "frame", tiny.files(tmp_path / "given", "frame"))
    fields = tuple(
        replace(field, dtype="float32") if field.name == "rgb" else field for field in found.fields
    )
    sample = read(source_of(replace(found, fields=fields)))[0]
    assert sample.values["rgb"].dtype == np.float32
    ends = dequantize(np.array([0, 255], np.uint8))
    assert np.allclose(ends, [4 / 512 - 2, 4 + 4 / 512 - 2], atol=1e-6)
    assert np.array_equal(sample.values["rgb"][0], dequantize(np.arange(8, dtype=np.uint8)))


def test_files_of_another_level_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tiny.files(tmp_path / "given", "frame")
    with pytest.raises(Exception, match="no record has what the fields want"):
        adopted(tmp_path, monkeypatch, "video", given)


def test_what_is_no_file_of_records_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tiny.files(tmp_path / "given")
    found = adopted(tmp_path, monkeypatch, "video", given)
    (given / "train00.tfrecord").write_text("<html>gone</html>" * 9)
    with pytest.raises(DataError, match="no record begins here"):
        readers.load("youtube8m").table(source_of(found))


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_compressed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Any) -> None:
    given = tiny.files(tmp_path / "given", "frame", ["00"])
    path = given / "train00.tfrecord"
    path.write_bytes(pack(path.read_bytes()))
    found = adopted(tmp_path, monkeypatch, "frame", given)
    assert [sample.key for sample in read(source_of(found))] == ["00a", "00b", "00c", "00d"]


def test_an_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tiny.files(tmp_path / "given", names=["00"])
    written(given / "trainaa.tfrecord", [])
    found = adopted(tmp_path, monkeypatch, "video", given)
    assert found.split("train").options["counts"] == (0, 4)
    assert [sample.key for sample in read(source_of(found))] == ["00a", "00b", "00c", "00d"]


def test_a_vocabulary_that_is_missing_is_warned_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cli: Callable[[Sequence[str]], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = tiny.files(tmp_path / "given", names=["00"])
    written(given / "train00.tfrecord", [tiny.video("good"), tiny.video("high", labels=[9])])
    words = (given / "vocabulary.csv").rename(tmp_path / "vocabulary.csv")
    folder = tiny.manifest(tmp_path / "catalogue", "video")
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    plan = adopt.plan(manifest.find("tinytube"), [given])
    assert any("vocabulary.csv is not among the files" in note for note in plan.notes)
    adopt.adopt(plan, unverified=True)
    told = "vocabulary.csv is not here: labels have no names of classes, and are not compared"
    assert cli(["prepare", "tinytube", "--dry-run"]) == 0
    assert f"dsets: warning: {told}" in capsys.readouterr().err
    with (
        pytest.warns(UserWarning, match="is adopted, unverified"),
        pytest.warns(UserWarning, match=told),
    ):
        assert len(dsets.load("tinytube", offline=True)["train"]) == 2
    plan = adopt.plan(manifest.find("tinytube"), [given, words])
    assert not any("is not among" in note for note in plan.notes)
    adopt.adopt(plan, unverified=True)
    assert cli(["prepare", "tinytube", "--out", str(tmp_path / "packs")]) == 0
    out, err = capsys.readouterr()
    assert "vocabulary" not in err and "labels has what is no class" in out


def test_what_was_adopted_without_training_is_what_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    written(given / "test00.tfrecord", [tiny.video("a"), tiny.video("b")])
    (given / "vocabulary.csv").write_text(tiny.VOCABULARY)
    found = adopted(tmp_path, monkeypatch, "video", given)
    assert [split.name for split in found.splits] == ["test"]
    assert found.training and not found.training.files
    assert manifest.left_out(found) == ("train",)
    assert len(found.files) == 2 and verify.files(found, store.raw("tinytube")).ok
    with pytest.raises(ManifestError, match=r"not among what was adopted.*fetch tinytube/train"):
        found.split("train")
    made = prepare.run(prepare.plan(found, out=tmp_path / "packs"))
    assert [one.split for one in made] == ["test"]
    digest = made[0].digest
    written(given / "train00.tfrecord", [tiny.video("c")])
    whole = adopted(tmp_path, monkeypatch, "video", given)
    assert [split.name for split in whole.splits] == ["train", "test"] and not whole.absent
    plan = prepare.plan(whole, splits=["test"], out=tmp_path / "packs")
    assert prepare.run(plan)[0].digest == digest and prepare.state(plan.packs[0]) == "finished"


def test_a_file_that_changed_since_it_was_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tiny.files(tmp_path / "given", names=["00"])
    found = adopted(tmp_path, monkeypatch, "video", given)
    written(given / "train00.tfrecord", [tiny.video("less")])
    with pytest.raises(DataError, match="another number of records than when they were counted"):
        list(readers.load("youtube8m").samples(source_of(found), [0]))


def test_options_and_fields_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = adopted(tmp_path, monkeypatch, "video", tiny.files(tmp_path / "given"))
    reader, split = readers.load("youtube8m"), found.split("train")
    for options in ({"counts": (1,)}, {"counts": (-1, 2)}, {"count": 1}):
        wrong = Source(found, replace(split, options=options), store.raw("tinytube"))
        with pytest.raises(ManifestError, match="bad option"):
            reader.check(wrong)
    image = replace(found.fields[0], name="image")
    with pytest.raises(ManifestError, match="the fields are not YouTube-8M's"):
        reader.check(source_of(replace(found, fields=(image,))))


@pytest.mark.parametrize("pipeline", ["frames", "video"])
def test_packs_of_frames_stream_ragged_and_padded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str
) -> None:
    given = tiny.files(tmp_path / "given", "segment", ["00"])
    counts = {"a": 1, "b": 4, "c": 2}
    written(given / "train00.tfrecord", [tiny.frames(*item) for item in counts.items()])
    found = adopted(tmp_path, monkeypatch, "segment", given)
    made = prepare.plan(found, splits=["train"], pipeline=pipeline, out=tmp_path / "packs")
    prepare.run(made)
    pack = Pack.open(made.packs[0].out)
    if pipeline == "video":
        rows = np.array([range(n, n + 8) for n in range(4)], np.uint8)
        expected = dequantize(rows.mean(0)).astype(np.float16)
        assert np.array_equal(pack[1]["mean_rgb"], expected)
        assert pack[1]["mean_rgb"].dtype == np.float16
        return
    (batch,) = stream.batches(pack, 3, shuffle=False)
    assert batch["rgb"].lengths.tolist() == [1, 4, 2]
    padded = batch["rgb"].padded()
    assert padded.shape == (3, 4, 8) and padded.dtype == np.uint8
    assert padded[1, 3].tolist() == list(range(3, 11)) and not padded[0, 1:].any()
    ragged = dequantize(batch["rgb"])
    assert ragged.values.dtype == np.float32 and len(ragged[2]) == 2


def test_a_page_called_like_a_file_of_records_is_left_out_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tiny.files(tmp_path / "given")
    (given / "train0009.tfrecord").write_text("<html>404: what you look for is not here</html>")
    (given / "train0010.tfrecord").write_bytes(b"")
    folder = tiny.manifest(tmp_path / "catalogue", "video")
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    plan = adopt.plan(manifest.find("tinytube"), [given])
    assert [note for note in plan.notes if "train0009" in note and "left out" in note]
    adopt.adopt(plan, unverified=True)
    assert manifest.current("tinytube").split("train").options["counts"] == (0, 4, 4)


@pytest.mark.parametrize(
    ("name", "split"),
    [("video", "train"), ("video", "validate"), ("frame", "train"), ("segment", "validate")],
)
def test_records_that_tensorflow_wrote(name: str, split: str) -> None:
    if not SHARED.is_dir():
        pytest.skip("no shared data here")
    official = manifest.find(f"youtube8m-{name}")
    adopt.adopt(adopt.plan(official, [SHARED]), unverified=True)
    found = manifest.current(official.name)
    told = json.loads((SHARED / "expected.json").read_text())
    expected = {
        row[0]: row[1:]
        for file, rows in told.items()
        if file.startswith(f"{name}_{split}")
        for row in rows
    }
    samples = read(source_of(found, split))
    assert {sample.key for sample in samples} == expected.keys()
    for sample in samples:
        values, row = sample.values, expected[sample.key]
        assert sample.problem is None and values["labels"].tolist() == row[0]
        if name == "video":
            assert float(values["mean_rgb"].sum()) == pytest.approx(row[1], abs=1e-4)
            assert float(values["mean_audio"].sum()) == pytest.approx(row[2], abs=1e-4)
            continue
        sums = [int(values[kind].sum(dtype=np.int64)) for kind in ("rgb", "audio")]
        assert [len(values["rgb"]), *sums] == row[1:4]
        if name == "segment":
            told_segments = [values["segment_start_times"], values["segment_labels"]]
            assert [one.tolist() for one in told_segments] == row[4:6]
            assert values["segment_scores"].tolist() == row[6]
