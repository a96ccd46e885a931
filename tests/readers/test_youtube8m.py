"""YouTube-8M's records at every level; broken ones are told of and left out, one by one."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsets
from dsets import adopt, extension, manifest, prepare, readers, store, stream, verify
from dsets.errors import DataError, ManifestError
from dsets.manifest import Manifest, Source
from dsets.pack import Pack
from dsets.readers import _cache, _index_file, _youtube8m_index, _youtube8m_repeats
from dsets.transforms import dequantize
from tests.archive.records import example, framed, sequence, written
from tests.readers import tiny_youtube8m as tiny

SHARED = Path(__file__).parents[3] / "shared" / "data" / "youtube8m"


def adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, given: Path) -> Manifest:
    """What is in force after ``given`` was adopted as the dataset ``tinytube``."""
    folder = tiny.manifest(tmp_path / "catalogue", level)
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    adopt.adopt(adopt.plan(manifest.find("tinytube"), [given]), unverified=True)
    return manifest.current("tinytube")


def source_of(found: Manifest, split: str = "train") -> Source:
    return Source(found, found.split(split), store.raw(found.name))


def read(source: Source) -> list[readers.Sample]:
    reader = readers.load(source.manifest.reader)
    return list(reader.samples(source, range(len(reader.table(source)))))


@pytest.fixture(params=["extension", "python"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extension and without it."""
    if request.param == "python":
        monkeypatch.setattr(extension, "native", None)


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


BROKEN = {
    "no id that can be a key": example({"labels": np.array([1])}),
    "no tf.train.Example": b"\xff\xff\xff",
    "no mean_audio": example({"id": [b"lack"], "mean_rgb": np.ones(8, np.float32)}),
    "mean_rgb of another size": tiny.video("size", mean_rgb=np.ones(9, np.float32)),
    "no mean_rgb": tiny.video("kind", mean_rgb=np.ones(8, np.int64)),
    "labels has what is no class": tiny.video("high", labels=[0, 5]),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_record_is_the_problem_of_its_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    given = tiny.files(tmp_path / "given", names=["00"])
    records = [tiny.video("good"), BROKEN[what], tiny.video("fine")]
    written(given / "train00.tfrecord", records)
    found = adopted(tmp_path, monkeypatch, "video", given)
    samples = read(source_of(found))
    assert [sample.problem is None for sample in samples] == [True, False, True]
    assert what in str(samples[1].problem) and str(tmp_path) not in str(samples[1].problem)
    (plan,) = prepare.plan(found, splits=["train"], out=tmp_path / "packs").packs
    prepare.run(prepare.Plan(found, (plan,)))
    pack = Pack.open(plan.out)
    assert len(pack) == 2
    (bad,) = pack.index.quarantine
    assert what in bad.reason and bad.key == samples[1].key
    report = verify.samples(source_of(found))
    assert not report.ok


def test_a_damaged_record_and_a_file_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tiny.files(tmp_path / "given", names=["00", "aZ"])
    data = bytearray(b"".join(framed(tiny.video(key)) for key in ("one", "two", "six")))
    data[40] ^= 1
    (given / "train00.tfrecord").write_bytes(data[:-5])
    found = adopted(tmp_path, monkeypatch, "video", given)
    samples = read(source_of(found))
    assert len(samples) == 4 + 3
    reasons = [str(sample.problem) for sample in samples[4:]]
    assert "damaged record; expected masked CRC-32C" in reasons[0]
    assert reasons[1] == "None" and samples[5].key == "two"
    assert "the file breaks off here: cut short in a record" in reasons[2]
    assert samples[4].key == "adopted-train3276@12"
    (plan,) = prepare.plan(found, splits=["train"], out=tmp_path / "packs").packs
    prepare.run(prepare.Plan(found, (plan,)))
    assert len(Pack.open(plan.out)) == 5


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


@pytest.mark.parametrize("second", ["the same file", "another file"])
def test_a_record_whose_id_came_before_is_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "vocabulary.csv").write_text(tiny.VOCABULARY)
    records = [tiny.video("one"), tiny.video("same"), tiny.video("two")]
    again = [tiny.video("six"), tiny.video("same", labels=[2])]
    if second == "the same file":
        written(given / "train00.tfrecord", records + again)
        place = "adopted-train3276@"
    else:
        written(given / "trainaa.tfrecord", records)
        written(given / "train00.tfrecord", again)
        place = "adopted-train3276@"
    found = adopted(tmp_path, monkeypatch, "video", given)
    source = source_of(found)
    samples = read(source)
    keys = [sample.key for sample in samples]
    assert keys[:-1] == ["one", "same", "two", "six"] and keys[-1].startswith(place)
    assert [key for piece in readers.keys(source) for key in piece] == keys
    assert readers.load("youtube8m").table(source)["key"].tolist() == keys
    reason = "an earlier record of the split has its id; expected each id once, got same"
    assert [str(one.problem) for one in samples if one.problem] == [reason]
    assert [one.key for one in readers.load("youtube8m").samples(source, [4, 1])] == [
        keys[4],
        "same",
    ]
    assert not verify.samples(source).ok
    made = prepare.plan(found, out=tmp_path / "packs")
    prepare.run(made)
    pack = Pack.open(made.packs[0].out)
    assert len(pack) == 4 and [one.reason for one in pack.index.quarantine] == [reason]
    _cache.DECODED.clear()
    monkeypatch.setattr(_youtube8m_repeats, "_found", None)  # the second time out of the store
    assert [sample.key for sample in read(source)] == keys


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


def test_damaged_notes_of_repeated_ids_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = adopted(tmp_path, monkeypatch, "video", tiny.files(tmp_path / "given"))
    source = source_of(found)
    keys = [sample.key for sample in read(source)]
    (kept,) = store.index("tinytube").glob("*-ids.columns")
    for column, value in (("shard", 2), ("shard", -1), ("row", None)):
        columns = {"shard": np.array([1], "<i4"), "row": np.array([0], "<i8")}
        columns[column] = columns[column][:0] if value is None else np.array([value], "<i4")
        files = [_index_file.identity(source.path(name)) for name in source.split.files[1:]]
        key = [1, hashlib.sha256(repr(files).encode()).hexdigest()]
        _index_file.write(kept, key, {}, columns)
        _cache.DECODED.clear()
        assert [sample.key for sample in read(source)] == keys


def test_another_number_of_frames_in_audio_is_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, either: None
) -> None:
    given = tiny.files(tmp_path / "given", "frame", ["00"])
    row = bytes(range(10))
    lists = {"rgb": [[row[:8]]] * 3, "audio": [[row[8:]]] * 2}
    odd = sequence({"id": [b"odd"], "labels": np.array([1])}, lists)
    written(given / "train00.tfrecord", [tiny.frames("good"), odd])
    found = adopted(tmp_path, monkeypatch, "frame", given)
    for pipeline in ("frames", "video"):
        made = prepare.plan(found, splits=["train"], pipeline=pipeline, out=tmp_path / pipeline)
        prepare.run(made)
        (bad,) = Pack.open(made.packs[0].out).index.quarantine
        assert bad.key == "odd" and bad.reason == (
            "rgb and audio have different numbers of frames; expected as many of each, "
            "got 3 rgb, 2 audio"
        )


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


def test_no_labels_and_no_frames_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tiny.files(tmp_path / "given", "frame", ["00"])
    empty = sequence({"id": [b"none"]}, {"rgb": [], "audio": []})
    written(given / "train00.tfrecord", [empty, tiny.frames("some")])
    sample = read(source_of(adopted(tmp_path, monkeypatch, "frame", given)))[0]
    assert sample.problem is None
    assert sample.values["labels"].shape == (0,) and sample.values["rgb"].shape == (0, 8)


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


def test_segments_outside_the_video_and_ragged_frames_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, either: None
) -> None:
    def one(key: str, starts: list[int], length: int = 5, **lists: Any) -> bytes:
        begin, labels = np.array(starts, np.int64), np.zeros(len(starts), np.int64)
        context = {
            "id": [key.encode()],
            "labels": np.array([1]),
            "segment_start_times": begin,
            "segment_end_times": begin + length,
            "segment_labels": labels,
            "segment_scores": labels.astype(np.float32),
        }
        rgb, audio = [[bytes(8)]] * 5, [[bytes(2)]] * 5
        return sequence(context, {"rgb": rgb, "audio": audio, **lists})

    records = [
        one("good", [0, 4]),
        one("beyond", [1000]),
        one("justbeyond", [0, 5]),
        one("before", [-5]),
        one("backwards", [1], -1),
        one("ragged", [], rgb=[[bytes(8)], [bytes(7)]] * 2 + [[bytes(8)]]),
        one("pairs", [], rgb=[[bytes(8)] * 2] * 5),
        one("floats", [], rgb=[np.ones(8, np.float32)] * 5),
    ]
    given = tiny.files(tmp_path / "given", "segment", ["00"])
    written(given / "train00.tfrecord", records)
    found = adopted(tmp_path, monkeypatch, "segment", given)
    said = {one.key: str(one.problem or "") for one in read(source_of(found))}
    assert said["good"] == ""
    assert "outside the video" in said["beyond"] and "got 1000 to 1000" in said["beyond"]
    assert "outside the video" in said["justbeyond"] and "outside the video" in said["before"]
    assert "ends before it begins" in said["backwards"]
    assert "rgb of another form" in said["ragged"] and "7 to 8 bytes" in said["ragged"]
    assert "several byte strings" in said["pairs"] and "no byte strings" in said["floats"]


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


def test_values_that_float16_cannot_hold_are_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tiny.files(tmp_path / "given", names=["00"])
    huge = tiny.video("huge", mean_rgb=np.full(8, 1e6, np.float32))
    written(given / "train00.tfrecord", [tiny.video("good"), huge])
    found = adopted(tmp_path, monkeypatch, "video", given)
    made = prepare.plan(found, splits=["train"], out=tmp_path / "packs")
    prepare.run(made)
    (bad,) = Pack.open(made.packs[0].out).index.quarantine
    assert bad.key == "huge" and "float16 cannot hold" in bad.reason


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
